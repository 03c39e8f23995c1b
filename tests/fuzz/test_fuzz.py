"""Whatever a user hands in: no traceback, an end, a documented exit code, one line on what is wrong, nothing half-written."""

from pathlib import Path

import pytest

from tests.fuzz.goods import write_goods
from tests.fuzz.harness import fuzz
from tests.fuzz.kinds import KINDS

pytestmark = pytest.mark.system  # a process for each input

INPUTS, MANY = 4, 60
APART = ("config", "card", "nml")


@pytest.fixture(scope="module")
def goods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("goods") / "goods"
    write_goods(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_spoiled_input_is_told_in_a_line(kind: str, goods: Path, tmp_path: Path) -> None:
    verdicts = [fuzz(kind, number, 0, goods, tmp_path / "case") for number in range(INPUTS)]
    assert not [str(verdict) for verdict in verdicts if verdict.wrong]
    assert {verdict.ended.code for verdict in verdicts} >= {2}, "nothing was wrong enough"


@pytest.mark.parametrize("kind", APART)
def test_the_same_in_a_process_of_its_own(kind: str, goods: Path, tmp_path: Path) -> None:
    verdict = fuzz(kind, 0, 0, goods, tmp_path / "case", apart=True)
    assert not verdict.wrong, str(verdict)
    assert verdict.ended.code == fuzz(kind, 0, 0, goods, tmp_path / "case").ended.code


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_spoiled_inputs(kind: str, goods: Path, tmp_path: Path) -> None:
    verdicts = [fuzz(kind, number, 1, goods, tmp_path / "case", apart=number < 2) for number in range(MANY)]
    assert not [str(verdict) for verdict in verdicts if verdict.wrong]
