"""A dashboard that is served while a test looks at it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from neuroadda.viewing.dashboard.server import Dashboard, open_dashboard


@contextmanager
def serve(where: str, **options: Any) -> Iterator[Dashboard]:
    with open_dashboard(where, **options) as dashboard:
        threading.Thread(target=dashboard.serve_forever, args=(0.05,), daemon=True).start()
        yield dashboard
        dashboard.shutdown()
