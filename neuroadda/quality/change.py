"""What a run's segmentation was before: the numbers of the last summary of another one."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from neuroadda.config import Config
from neuroadda.quality.measure import Quality

BEFORE = "before"


class KeyNumbers(Config):
    """The few numbers by which two segmentations of one run's folder are compared.

    Attributes
    ----------
    voi
        Nats; None without truth.
    dangling
        Dangling ends of the largest segments.
    written
        When its summary was, UTC; None of the present one.
    """

    fingerprint: str
    threshold: float | None
    edits: int
    voi: float | None
    segments: int
    half: int
    orphans: int
    orphan_share: float
    dangling: int
    written: datetime | None = None

    @classmethod
    def of(cls, summary: Mapping[str, Any], written: datetime | None = None) -> Self:
        """Return the numbers in a summary.

        Raises
        ------
        KeyError, ValueError, TypeError
            If it has none, such as that of an earlier version.
        """
        quality = Quality.model_validate(summary["quality"])
        names = ("segments", "half", "orphans", "orphan_share", "dangling")
        return cls(
            **{name: summary[name] for name in ("fingerprint", "threshold", "edits")},
            voi=summary["scores"]["voi"] if summary.get("scores") else None,
            **{name: getattr(quality, name) for name in names},
            written=written,
        )


def find_before(summary: Path, fingerprint: str) -> KeyNumbers | None:
    """Return the numbers of the segmentation that was in a run's folder before this one; None where none is known.

    They are read from the last summary, also if it was renamed as stale because the volume was segmented again. A summary of this
    very segmentation says itself what was before.

    Parameters
    ----------
    summary
        Where the last one lies.
    fingerprint
        Of the segmentation now.
    """
    for path in (summary, summary.with_name(f"{summary.stem}_stale{summary.suffix}")):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["fingerprint"] != fingerprint:
                return KeyNumbers.of(told, datetime.fromtimestamp(int(path.stat().st_mtime), UTC))
            return None if told[BEFORE] is None else KeyNumbers.model_validate(told[BEFORE])
        except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is of an earlier version
            continue
    return None
