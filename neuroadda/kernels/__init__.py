"""What visits every voxel, edge or fragment one by one: compiled when the package is installed, and by `make` when it changes.

A kernel is given arrays of the types it names, and checks nothing: each has one caller, in Python, which says what it is for.
"""

from importlib.util import find_spec
from pathlib import Path

from neuroadda.errors import UserError

for _source in Path(__file__).parent.glob("*.pyx"):
    if find_spec(f"{__name__}.{_source.stem}") is None:
        raise UserError("this kernel is not compiled", str(_source), "install neuroadda again, by pip or make")
