"""The notebook in docs/notebooks runs as it stands, and holds no outputs."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="pip install neuroadda[test]")
nbclient = pytest.importorskip("nbclient", reason="pip install neuroadda[test]")
pytest.importorskip("ipykernel", reason="pip install neuroadda[test]")
pytest.importorskip("torch")

pytestmark = pytest.mark.system

FIRST_STEPS = Path(__file__).parents[1] / "docs/notebooks/first_steps.ipynb"


def test_no_outputs_are_kept() -> None:
    notebook = nbformat.read(FIRST_STEPS, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_first_steps_run(tmp_path: Path) -> None:
    notebook = nbformat.read(FIRST_STEPS, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    said = [
        "".join(output.get("text", "") for output in cell.outputs if output.output_type == "stream")
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    told = "".join(said)
    assert "label the box of (240.0, 480.0, 480.0) nm at " in told
    scores = [float(line.split()[2]) for line in told.splitlines() if ": VOI " in line]
    assert len(scores) == 2
    assert scores[1] < scores[0], "adapting made it worse"
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs), "there is no picture"
    assert (tmp_path / "first_steps/segmentation.ome.zarr/.zattrs").exists() or (
        tmp_path / "first_steps/segmentation.ome.zarr/zarr.json"
    ).exists()
