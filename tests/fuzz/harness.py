"""One fuzzed input from first to last: good input copied, one thing of it spoiled, the command run on it, its end judged."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.fuzz.kinds import KINDS
from tests.fuzz.running import Ended, judge, list_tree, run_forked, run_subprocess


@dataclass(frozen=True)
class Verdict:
    """What came of an input.

    Attributes
    ----------
    kind, number, seed
        Which it was.
    arguments
        Of the command.
    wrong
        What is not as promised; None if all is well.
    """

    kind: str
    number: int
    seed: int
    arguments: list[str]
    ended: Ended
    wrong: str | None

    @property
    def brief(self) -> str:
        """What is wrong, in a line or two."""
        last = (self.ended.err.strip().splitlines() or [""])[-1]
        return f"{self.wrong}: neuroadda {' '.join(self.arguments)[:200]}\n    {last[:300]}"

    def __str__(self) -> str:
        command = " ".join(self.arguments)[:500]
        again = f"python -m tests.fuzz.fuzz --kind {self.kind} --number {self.number} --seed {self.seed} --keep FOLDER"
        return f"{self.wrong}\n  neuroadda {command}\n  {again}\n{self.ended.err[-3000:]}"


def fuzz(kind: str, number: int, seed: int, goods: Path, folder: Path, *, apart: bool = False) -> Verdict:
    """Run one input in `folder`, which is emptied first.

    Parameters
    ----------
    goods
        What `write_goods` wrote.
    apart
        Run the command as a user does, in a process that imports everything anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    place = folder / "deep" / "place"  # so that what leaves by .. is seen
    shutil.copytree(goods, place)
    (place / "out").mkdir()
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    command = KINDS[kind](rng, place)
    arguments = [argument.replace("{}", str(place)) for argument in command.arguments]
    before = list_tree(folder)
    ended = (run_subprocess if apart else run_forked)(arguments, place)
    after = {name: facts for name, facts in list_tree(folder).items() if not name.startswith(("deep/out", "deep/err"))}
    wrong = judge(ended, before, after, command.codes)
    if wrong is None and ended.code == 0 and command.imported is not None:
        wrong = command.imported.judge(place, place / "out/new.zarr/raw", ended.err)
    return Verdict(kind, number, seed, arguments, ended, wrong)
