"""What docs/security.md says of files from elsewhere."""

import ast
import base64
import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from neuroadda.backbones.card import WEIGHTS
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.adding import write_index
from neuroadda.zoo.finding import open_zoo
from tests.zoo.small_zoo import write_trained

ROOT = Path(__file__).parents[1]
PICKLERS = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}


class Trap:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_for_weights_is_refused_in_a_line_and_never_run(tmp_path, command):
    zoo, trap = tmp_path / "zoo", tmp_path / "sprung"
    write_trained(zoo / "fly", "fly")
    weights, card = zoo / "fly" / WEIGHTS, zoo / "fly/card.json"
    weights.write_bytes(pickle.dumps(Trap(trap)))
    write_index(zoo)
    digest = json.loads((zoo / "zoo.json").read_text())["entries"]["fly"][WEIGHTS]["sha256"]
    card.write_text(json.dumps(json.loads(card.read_text()) | {"digest": digest}))
    write_index(zoo)  # vouched for by all that a zoo has
    with pytest.raises(UserError, match="weights do not fit"):
        open_zoo(zoo).backbone("fly")
    code, out, err = command("zoo", "verify", zoo)
    assert (code, err) == (1, "")
    assert "weights do not fit" in out
    code, _, err = command("zoo", "add", zoo / "fly", "--zoo", tmp_path / "other")
    assert code == 2
    assert err.count("\n") == 1
    assert not trap.exists()


@pytest.mark.parametrize("of", ["filters", "fill value", "compressor"])
def test_a_pickle_in_an_array_is_never_run(tmp_path, command, of):
    array, trap = tmp_path / "v.zarr/raw", tmp_path / "sprung"
    Volume.create(array, (4, 4, 4), (30, 6, 6), np.uint8)
    told = json.loads((array / ".zarray").read_text())
    hidden = pickle.dumps(Trap(trap))
    if of == "compressor":
        told["compressor"] = {"id": "pickle"}
    else:
        told |= {"filters": [{"id": "pickle"}], "dtype": "|O", "compressor": None}
    if of == "fill value":
        told["fill_value"] = base64.standard_b64encode(hidden).decode()
    (array / ".zarray").write_text(json.dumps(told))
    (array / "0/0").mkdir(parents=True)
    (array / "0/0/0").write_bytes(hidden)
    for verb in (["info", array], ["import", array, tmp_path / "new.zarr/raw"], ["domains", "rank", array]):
        code, _, err = command(*verb)
        assert (code, err.count("\n")) == (2, 1)
        assert "its codec 'pickle' is not read" in err
    assert not trap.exists()


@pytest.mark.parametrize("filters", [10**30, "pickle", {"id": "pickle"}, [[]]])
def test_filters_that_are_none_are_told_in_a_line(tmp_path, command, filters):
    array = tmp_path / "v.zarr/raw"
    Volume.create(array, (4, 4, 4), (30, 6, 6), np.uint8)
    told = json.loads((array / ".zarray").read_text()) | {"filters": filters}
    (array / ".zarray").write_text(json.dumps(told))
    code, _, err = command("info", array)
    assert (code, err.count("\n")) == (2, 1)
    assert "is not read" in err


def test_nothing_is_ever_unpickled():
    """By name: no pickler is imported, torch.load is not called, and numpy does not by default."""
    modules = sorted((ROOT / "neuroadda").rglob("*.py"))
    assert len(modules) > 100
    for node in (node for path in modules for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {name.partition(".")[0] for name in names} & PICKLERS
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "torch.load"
            assert "allow_pickle=True" not in ast.unparse(node)


def test_every_test_that_the_security_notes_name_is_there():
    text = (ROOT / "docs/security.md").read_text()
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", text)
    assert len(named) > 15
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"
