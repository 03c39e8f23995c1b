"""`--quiet` and `--verbose`, before and after the verb, and completion in a real bash."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroadda.cli.verbosity import is_quiet, take_verbosity
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import VOXEL_SIZE_NM, smooth_noise, write_backbone

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    noise = (smooth_noise((8, 40, 80), (1, 4, 4)) * 255).astype(np.uint8)
    raw = Volume.create(folder / "v.zarr/raw", noise.shape, VOXEL_SIZE_NM, np.uint8, chunk_vx=(8, 20, 20))
    raw.write(raw.roi, noise)
    write_backbone(folder / "backbone")
    return folder


@pytest.mark.parametrize(
    ("given", "left", "quiet"),
    [
        (["segment", "a"], ["segment", "a"], False),
        (["--quiet", "segment", "a"], ["segment", "a"], True),
        (["segment", "a", "--quiet"], ["segment", "a"], True),
        (["segment", "--verbose", "a", "--quiet"], ["segment", "a"], True),
        (["info", "--", "--quiet"], ["info", "--", "--quiet"], False),
        ([], [], False),
    ],
)
def test_they_are_taken_wherever_they_stand(given: list[str], left: list[str], quiet: bool) -> None:
    with take_verbosity(given) as arguments:
        assert (arguments, is_quiet()) == (left, quiet)
    assert not is_quiet()


def test_a_quiet_run_prints_its_result_alone(command: Run, inputs: Path, tmp_path: Path) -> None:
    def segment(output: str, *options: str) -> tuple[int, str, str]:
        given = ("segment", inputs / "v.zarr/raw", "--backbone", inputs / "backbone", "-o", tmp_path / output)
        return command(*given, "--set", "segment.execution.launcher=serial", *options)

    code, told, err = segment("loud")
    assert code == 0, err
    assert "predict: 1/1 blocks" in err
    code, told, err = segment("quiet", "--quiet")
    assert (code, told, err) == (0, f"{tmp_path / 'quiet/volumes.zarr/segmentation'}\n", "")
    code, told, err = segment("verbose", "--verbose")
    assert code == 0
    assert told == f"{tmp_path / 'verbose/volumes.zarr/segmentation'}\n"
    assert "in this process" in err.splitlines()[-1]


def test_warnings_and_errors_are_printed_all_the_same(command: Run, tmp_path: Path) -> None:
    code, told, err = command("info", tmp_path / "nowhere.zarr/raw", "--quiet")
    assert (code, told, err.count("\n")) == (2, "", 1)
    code, told, verbose = command("--verbose", "info", tmp_path / "nowhere.zarr/raw")
    assert code == 2
    assert verbose.startswith("Traceback")
    assert err in verbose
    assert not command("info", tmp_path / "nowhere.zarr/raw")[2].startswith("Traceback")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["neuroadda", "seg"], ["segment"]),
        (["neuroadda", "re"], ["retry", "report-bug"]),
        (["neuroadda", "proposals", "ex"], ["export"]),
        (["neuroadda", "segment", "--trust"], ["--trust-inputs"]),
    ],
)
def test_bash_completes_verbs_and_options(tmp_path: Path, typed: list[str], found: list[str]) -> None:
    """With the script that `neuroadda --show-completion` prints, as bash runs it at Tab."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    program = tmp_path / "neuroadda"
    program.write_text(f"#!{bash}\nexec {sys.executable} -c 'from neuroadda.cli import main; import sys; "
                       'sys.argv[0] = "neuroadda"; main()\' "$@"\n')  # fmt: skip
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = subprocess.run(
        [program], env=environment | {"_NEUROADDA_COMPLETE": "source_bash"}, capture_output=True, text=True, check=True
    ).stdout
    assert "complete" in script
    words = " ".join(f"'{word}'" for word in typed)
    asked = f"{script}\nCOMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _neuroadda_completion neuroadda\n"
    asked += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    told = subprocess.run([bash, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == found, told.stderr
