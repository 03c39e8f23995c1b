"""Hand the command spoiled input of every kind, and tell what is not as promised.

    python -m tests.fuzz.fuzz [--kind KIND ...] [--count N] [--seed N] [--apart N] [--write PAGE]
    python -m tests.fuzz.fuzz --kind KIND --number N --seed N --keep FOLDER

Promised is: no traceback, an end within a minute, exit code 0, 2 or a documented one, one line on what is wrong, and nothing
half-written. The first form runs N inputs of each kind, of which --apart are run as a user runs the command, and with --write puts
the table into that page of docs/results. The second runs one input again and leaves it in FOLDER.
"""

import argparse
import collections
import datetime
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

from benchmarks.machine import name_processor  # noqa: E402
from neuroadda.wording import format_bytes  # noqa: E402
from tests.fuzz.goods import write_goods  # noqa: E402
from tests.fuzz.harness import Verdict, fuzz  # noqa: E402
from tests.fuzz.kinds import KINDS  # noqa: E402
from tests.fuzz.running import LIMIT_BYTES, LIMIT_SECONDS, LONGEST_LINE  # noqa: E402

RESULTS = ROOT / "docs" / "results"


def main() -> int:
    """Return the exit code: 1 if anything is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--apart", type=int, default=2)
    parser.add_argument("--number", type=int)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", metavar="PAGE", choices=("fuzz", "fuzz-volumes"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        goods = Path(scratch) / "goods"
        write_goods(goods)
        if options.number is not None:
            folder = options.keep or Path(scratch) / "case"
            one = fuzz(options.kind[0], options.number, options.seed, goods, folder)
            print(one if one.wrong else f"as promised, exit code {one.ended.code}\n{one.ended.err}")
            return int(one.wrong is not None)
        begun = time.monotonic()
        verdicts: list[Verdict] = []
        for kind in options.kind:
            for number in range(options.count):
                apart = number >= options.count - options.apart
                verdict = fuzz(kind, number, options.seed, goods, Path(scratch) / "case", apart=apart)
                verdicts.append(verdict)
                if verdict.wrong:
                    print(f"{kind} {number}: {verdict.brief}", flush=True)
            print(f"{kind}: {options.count} inputs, {time.monotonic() - begun:.0f} s so far", flush=True)
    if options.write:
        some = "" if options.kind == list(KINDS) else f"--kind {' '.join(options.kind)} "
        numbers = f"--count {options.count} --seed {options.seed} --apart {options.apart}"
        command = f"python -m tests.fuzz.fuzz {some}{numbers} --write {options.write}"
        (RESULTS / f"{options.write}.md").write_text(report(verdicts, options.kind, time.monotonic() - begun, command))
    return int(any(verdict.wrong for verdict in verdicts))


def report(verdicts: list[Verdict], kinds: list[str], seconds: float, command: str) -> str:
    """Return the page of results."""
    lines = [
        "# Spoiled input",
        "",
        f"`{command}`, {datetime.date.today()}, {os.cpu_count()} cores of {name_processor()}, Python {platform.python_version()}: "
        f"{len(verdicts)} inputs in {seconds:.0f} s.",
        "",
        "Each input is a folder of good files of which a seeded generator (tests/fuzz/) spoiled one, and a command run on it.",
        f"Wrong is: a traceback, no end within {LIMIT_SECONDS:.0f} s, more memory than {format_bytes(LIMIT_BYTES)}, an exit",
        "code that is not documented, not exactly one line on what is wrong, a line of more than",
        f"{LONGEST_LINE} characters, anything left behind by a command that failed, and an import that was done and has another",
        "voxel size or offset than the spoiled source says (tests/fuzz/places.py), or, where that is malformed, than the good one.",
        "",
        "| kind | what is spoiled | inputs | refused (exit code 2) | done (0) | other documented codes | wrong |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for kind in (*kinds, "all"):
        mine = [v for v in verdicts if kind in (v.kind, "all")]
        codes = collections.Counter(v.ended.code for v in mine)
        told = (KINDS[kind].__doc__ or "").rstrip(".") if kind in KINDS else ""
        other = len(mine) - codes[0] - codes[2]
        lines.append(
            f"| {kind} | {told} | {len(mine)} | {codes[2]} | {codes[0]} | {other} | {sum(bool(v.wrong) for v in mine)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
