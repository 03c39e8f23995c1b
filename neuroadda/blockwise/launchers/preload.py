"""What the forkserver of local workers imports first: their code. It also makes the forkserver end with the scheduler."""

import sys

import neuroadda.blockwise.worker  # noqa: F401
from neuroadda.processes import die_with_parent

# By itself a forkserver lives as long as any worker, and a frozen worker would outlive the run.
if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    die_with_parent()
