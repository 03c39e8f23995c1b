"""neuroadda: from raw electron microscopy to neurons, with as few human labels as possible."""

import os

# The threads of numpy's OpenBLAS sleep while they wait. By default each is busy waiting for a tenth of a second at every start.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

__version__ = "0.1.0"
