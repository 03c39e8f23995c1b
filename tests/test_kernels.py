import os
import shutil
import subprocess
import sys
from pathlib import Path

import neuroadda

PACKAGE = Path(neuroadda.__file__).parent


def test_kernels_that_are_not_compiled_are_told_in_a_line(tmp_path):
    """Such as after `git pull` in a checkout that was installed before."""
    shutil.copytree(PACKAGE, tmp_path / "neuroadda", ignore=shutil.ignore_patterns("*.so", "zoo"))
    config = tmp_path / "run.toml"
    config.write_text('[segment]\nraw = "raw.zarr"\nbackbone = "fly"\noutput = "run"\n')
    told = subprocess.run(
        [sys.executable, "-m", "neuroadda.cli", "segment", "-c", config],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert told.returncode == 2
    assert "neuroadda/kernels/" in told.stderr
    assert "this kernel is not compiled; install neuroadda again" in told.stderr
    assert len(told.stderr.splitlines()) == 1
