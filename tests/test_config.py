import json
import subprocess
import sys
from typing import Literal

import pytest
from pydantic import Field

from neuroadda.config import Config, apply_overrides, fingerprint, load_config_file, parse_config, write_json
from neuroadda.errors import UserError


class Inner(Config):
    size_vx: tuple[int, int, int] = (1, 2, 3)
    kind: Literal["a", "b"] = "a"


class Outer(Config):
    rate: float = 0.5
    count: int = Field(default=1, ge=1)
    inner: Inner = Field(default_factory=Inner)
    others: tuple[Inner, ...] = ()
    scale: tuple[float, float] = (1.0, 1.0)


def test_toml_and_overrides_become_a_config(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("rate = 1\n[inner]\nsize_vx = [4, 5, 6]\n")
    data = apply_overrides(load_config_file(path), ["inner.kind=b", "count=3", "others=[{kind='b'}]"])
    config = parse_config(Outer, data, str(path))
    assert config == Outer(rate=1.0, count=3, inner=Inner(size_vx=(4, 5, 6), kind="b"), others=(Inner(kind="b"),))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"inner": {"sizevx": [1, 2, 3]}}, "c.toml: unknown key 'inner.sizevx'; did you mean 'inner.size_vx'?"),
        ({"zzz": 1}, "known keys: count, inner, others, rate, scale"),
        ({"count": "3"}, "count should be a valid integer, not '3'"),
        ({"count": 0}, "count should be greater than or equal to 1, not 0"),
        ({"inner": {"kind": "c"}}, "inner.kind should be 'a' or 'b', not 'c'"),
        ({"inner": {"size_vx": [1, 2]}}, "c.toml: inner.size_vx: 3 values (zyx) are needed, not [1, 2]"),
        ({"inner": {"size_vx": []}}, "inner.size_vx: 3 values (zyx) are needed, not []"),
        ({"others": [{}, {"size_vx": [1]}]}, "others.1.size_vx: 3 values (zyx) are needed, not [1]"),
        ({"scale": [1.0]}, "scale: 2 values are needed, not [1.0]"),
        ({"others": [{"kin": "a"}]}, "did you mean 'others.0.kind'?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(data, told):
    with pytest.raises(UserError) as caught:
        parse_config(Outer, data, "c.toml")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["nothing", "=1", "rate.x=1"])
def test_overrides_that_make_no_sense(override):
    with pytest.raises(UserError):
        apply_overrides({"rate": 1.0}, [override])


def test_fingerprints_do_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [2, 3]}) == fingerprint({"b": [2, 3], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "a" / "x.json", {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a" / "x.json", {"a": float("nan")})
    assert json.loads((tmp_path / "a" / "x.json").read_text()) == {"a": 1}
    assert [f.name for f in (tmp_path / "a").iterdir()] == ["x.json"]


def test_the_command_starts_without_the_heavy_libraries():
    code = (
        "import sys, neuroadda.cli\n"
        "print([m for m in ('torch', 'gunpowder', 'pymongo', 'matplotlib', 'zarr', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
