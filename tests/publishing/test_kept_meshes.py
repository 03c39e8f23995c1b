"""After a correction only the meshes of what changed are simplified again; the files are those of a publication from nothing."""

from pathlib import Path

import numpy as np
import pytest

from neuroadda.proofreading.applying import apply
from neuroadda.proofreading.decisions import Decision
from neuroadda.proofreading.edits import add, undo
from neuroadda.proofreading.likely_errors import find_likely_errors
from neuroadda.publishing import meshes
from neuroadda.publishing.kept_meshes import FOLDER
from neuroadda.publishing.publication import PublishConfig
from neuroadda.publishing.publishing import publish_run
from neuroadda.volumes.arrays import Volume
from tests.proofreading.planted import plant, segment_planted
from tests.publishing import shapes

for package in ("tensorstore", "zmesh", "trimesh"):
    pytest.importorskip(package, reason=f"{package} is not installed (pip install neuroadda[publish])")


def read(folder: Path) -> dict[str, bytes]:
    """Return the published files; the tasks beside them name places of this machine."""
    files = (
        path for path in folder.rglob("*") if path.is_file() and ".run" not in path.parts and path.name != "task.json"
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_only_meshes_of_what_changed_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = segment_planted(tmp_path, plant(split=False, merge=True))
    run, made, parts = Path(plan.config.output), list[int](), list[int]()
    join, simplify = meshes.simplify_near, meshes.simplify_part
    monkeypatch.setattr(meshes, "simplify_near", lambda *given: (made.append(1), join(*given))[1])
    monkeypatch.setattr(meshes, "simplify_part", lambda *given: (parts.append(1), simplify(*given))[1])

    def publish(name: str, *formats: str) -> dict[str, bytes]:
        made.clear()
        parts.clear()
        config = PublishConfig(
            run=str(run),
            output=str(tmp_path / name),
            to=formats,
            block_vx=(8, 32, 32),
            min_size=200,
            execution=shapes.SERIAL,
        )
        return read(publish_run(config, overwrite=True))

    before = publish("out", "precomputed", "ply")
    segments = set(np.unique(Volume.open(plan.output("relabel")).read()).tolist()) - {0}
    assert len(made) == len(segments) == 2  # formats share them
    all_parts = len(parts)
    (error, *_) = find_likely_errors(plan, 1).errors
    (edit,) = add(run, [Decision("split", error.fragments)]).edits
    apply(run)
    after = publish("out", "precomputed", "ply")
    assert len(made) == 2  # the two sides; the other neuron is as it was
    assert 0 < len(parts) < all_parts
    fresh = publish("fresh", "precomputed", "ply")
    assert (after, len(made)) == (fresh, 3)
    undo(run, edit.id)
    apply(run)
    assert publish("out", "precomputed", "ply") == before
    assert len(made) == 1  # what was not used a publication ago is not kept
    for file in (tmp_path / "out/.run" / FOLDER).glob("*/*.npz"):
        file.write_bytes(b"damaged")
    (tmp_path / "out/ply/1.ply").unlink()
    assert publish("out", "precomputed", "ply") == before
