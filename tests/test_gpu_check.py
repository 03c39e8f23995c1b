"""The check of a GPU runs its CPU half anywhere, and says that the GPU half was not run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_it_runs_what_the_machine_allows_and_says_what_it_left_out(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    command = [sys.executable, "-m", "tools.gpu_check", "--output", str(page), "--minutes", "1000"]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    text = page.read_text()
    rows = {row[0]: row[2] for row in re.findall(r"^\| (.+?) \| (cpu|cuda) \| (.+) \| \d+ \|$", text, re.MULTILINE)}
    assert len(rows) == 9
    assert "FAILED" not in text
    on_gpu = torch.cuda.is_available()
    for name in ("tests marked gpu", "compiled network"):
        assert rows[name].startswith("not run: there is no CUDA device") != on_gpu
    assert ("The GPU half was not run" in text) != on_gpu
    assert "1 and 3 workers differ by at most 0" in rows["several workers"] or on_gpu
    assert re.search(r"loss from [\d.]+ to [\d.]+", rows["training"])
    assert "vx/s" in rows["speed of prediction"]


def test_a_check_that_fails_keeps_no_other_from_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools import gpu_check
    from tools.gpu_checks import Setting

    def fail(setting: Setting) -> str:
        raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")

    monkeypatch.setattr(gpu_check, "CHECKS", (("broken", fail, False), ("other", lambda setting: "fine", False)))
    assert gpu_check.main(["--output", str(tmp_path / "gpu.md")]) == 1
    text = (tmp_path / "gpu.md").read_text()
    assert "FAILED: RuntimeError: CUDA error: an illegal memory access was encountered" in text
    assert "| other | " in text
    assert "fine" in text
    assert "A check failed" in text
    monkeypatch.setattr(gpu_check, "CHECKS", (("late", lambda setting: "fine", False),))
    assert gpu_check.main(["--output", str(tmp_path / "gpu.md"), "--minutes", "-1"]) == 1
    assert "not run: the time was over" in (tmp_path / "gpu.md").read_text()
