"""Do harm to a segmentation at seeded random moments, in every stage, and compare what comes out with an undisturbed run.

    python -m tests.chaos.chaos [--seeds N ...] [--faults N] [--jobs N] [--write]

For each seed, small runs one after another, with an SQLite ledger and (where secantusd-py is installed) with MongoDB's protocol in
turn, now and then by jobs of Slurm (where root finds it installed), until that many faults were done to them. Even seeds find
fragments by steepest ascent, odd ones from seeds. Every run must end in the bytes of the undisturbed one, with a ledger that
`neuroadda ledger verify --read` has nothing against, and without a process or job that is left over. The faults are in tests/chaos.
Where root runs it, the runs lie on a small disk of their own (tmpfs), which is filled now and then, and on another host than the
server (network namespaces), so that the network can be dropped. With --write, the counts go to docs/results/chaos.md.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.cli.console import print_table
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import segment_volume
from neuroadda.volumes.arrays import Volume
from neuroadda.wording import format_seconds
from tests.chaos.kinds import FAULTS
from tests.chaos.mongo import MongoServer
from tests.chaos.place import CABLE, NotNow, Place, on_the_other_host, run_on_two_hosts, small_disk
from tests.chaos.slurm import Slurm, local_slurm
from tests.chaos.subject import MARK, ChaosFound, Subject, digest, stages_of
from tests.segmentation.synthetic import VOXEL_SIZE_NM, smooth_noise, write_backbone

COMMAND = (sys.executable, "-m", "tests.chaos.chaos")
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "chaos.md"
SHAPE_VX, BLOCK_VX = (24, 120, 120), (4, 20, 20)
FRAGMENTS = ({"min_size_vx": 60}, {"seed_distance_vx": 4, "boundary": 0.5})  # of even seeds, and of odd ones
HEAD_ADDRESS = "10.77.0.1"
EVERY_BY_JOBS = 4  # of the runs
MOST_RESTARTS = 5  # of a run that ends again and again with nothing done to it


@dataclass(frozen=True)
class Event:
    """A fault that was done to a run."""

    seed: int
    run: int
    store: str
    kind: str
    stage: str


@dataclass
class Decks:
    """For every stage the kinds of faults in random order, over and over, so that each comes as often as may be.

    A kind that cannot be done at the moment stays on top.
    """

    draw: Random
    cards: dict[str, list[str]]

    def do(self, subject: Subject, stage: str, place: Place) -> str:
        """Do the first fault that can be done; return its kind."""
        deck = self.cards.setdefault(stage, [])
        while True:
            for kind in list(deck):
                deck.remove(kind)
                try:
                    FAULTS[kind](subject, stage, self.draw, place)
                    return kind
                except NotNow:
                    deck.insert(0, kind)
            deck += self.draw.sample(list(FAULTS), len(FAULTS))


def write_inputs(folder: Path) -> None:
    """Write raw, whose chunks are blocks, and a small network."""
    raw = Volume.create(folder / "raw.zarr/raw", SHAPE_VX, VOXEL_SIZE_NM, np.uint8, chunk_vx=BLOCK_VX)
    raw.write(raw.roi, (smooth_noise(SHAPE_VX, (1, 4, 4)) * 255).astype(np.uint8))
    write_backbone(folder / "backbone")


def configure(
    seed: int, inputs: Path, output: Path, ledger: str | None = None, launcher: str = "local", mark: str = ""
) -> SegmentConfig:
    """Return the config of a run, whose jobs carry a mark; all of a seed have the same result."""
    return SegmentConfig.model_validate(
        {
            "raw": str(inputs / "raw.zarr/raw"),
            "backbone": str(inputs / "backbone"),
            "output": str(output),
            "ledger": ledger,
            "block_vx": BLOCK_VX,
            "chunk_vx": BLOCK_VX,
            "trust_inputs": True,  # raw is damaged and comes back: for a run that looks, that is other raw
            "predict": {"precision": "float32"},
            "fragments": FRAGMENTS[seed % 2],
            "components": {"threshold": 0.3},
            "execution": {
                "launcher": launcher,
                "workers": 2,
                "block_timeout": 30.0,
                "same_error_limit": 10**6,
                "job": {"setup": [f"export {MARK}={mark}"]},
            },
        }
    )


def torment(subject: Subject, place: Place, draw: Random, decks: Decks, most: int) -> Iterator[tuple[str, str]]:
    """Do up to so many faults to one run, yielding kind and stage of each, and see it to its end."""
    subject.start()
    left = most
    for stage in stages_of(subject.plan):
        moments = sorted(draw.random() for _ in range(draw.randint(1, 3)))
        for moment in moments:
            blocks = len(subject.task(stage).blocks)
            if left == 0 or not wait_for(subject, stage, 1 + int(moment * (blocks - 1))):
                break
            yield decks.do(subject, stage, place), stage
            left -= 1
    wait_for(subject, "", 0)


def wait_for(subject: Subject, stage: str, blocks: int) -> bool:
    """Wait until a stage has written so many blocks, and one more than now; false when the run has ended well.

    One that has not is resumed.
    """
    if stage:
        blocks = min(max(blocks, subject.written(stage) + 1), len(subject.task(stage).blocks))
    for _ in range(MOST_RESTARTS):
        subject.wait(lambda: subject.ended() or (bool(stage) and subject.written(stage) >= blocks), "it hangs")
        if not subject.ended():
            return True
        if subject.finish() == 0:
            return False
        subject.start()
    raise ChaosFound(f"it ends with {subject.process.returncode}, again and again: {subject.said()}")


def check(subject: Subject, undisturbed: dict[str, str]) -> None:
    """Hold the finished run to what was promised."""
    found = digest(subject.config)
    different = sorted(name for name in found.keys() | undisturbed.keys() if found.get(name) != undisturbed.get(name))
    if different:
        raise ChaosFound(f"{len(different)} files differ: {different[:10]}")
    code, told = subject.call("ledger", "verify", str(subject.folder), "--read")
    if code != 0:
        raise ChaosFound(f"the ledger does not agree with the outputs: {told}")
    for line in told.splitlines():
        if line.split("\t")[0] in stages_of(subject.plan) and len({*line.split("\t")[1:3]}) > 1:
            raise ChaosFound(f"not all blocks are done: {line}")
    subject.wait_until_gone()


def run_seed(
    seed: int,
    faults: int,
    inputs: Path,
    folder: Path,
    disk: Path | None,
    slurm: Slurm | None,
    reference: dict[str, str],
) -> list[Event]:
    """Do so many faults, in as many runs as that takes."""
    draw, cable = Random(seed), os.environ.get(CABLE)
    decks, events, number = Decks(draw, {}), list[Event](), 0
    while len(events) < faults:
        number += 1
        with ExitStack() as stack:
            mongo = None
            if number % 2 == 0 and MongoServer.is_installed():
                mongo = MongoServer(folder / f"mongo-{seed}-{number}", HEAD_ADDRESS if cable else "127.0.0.1")
                mongo.start()
                stack.callback(mongo.kill)
            by_jobs = slurm if mongo is not None and number % EVERY_BY_JOBS == 0 else None
            launcher, mark = "local" if by_jobs is None else "slurm", secrets.token_hex(8)
            config = configure(
                seed, inputs, (disk or folder) / f"run-{seed}-{number}", mongo and mongo.url, launcher, mark
            )
            subject = Subject(config, mark, on_the_other_host(cable))
            stack.callback(subject.end)
            store = "SQLite" if mongo is None else "MongoDB" if by_jobs is None else "MongoDB and Slurm"
            began, done = time.monotonic(), list[Event]()
            try:
                place = Place(inputs / "backbone", mongo, disk, cable, by_jobs)
                for kind, stage in torment(subject, place, draw, decks, faults - len(events)):
                    done.append(Event(seed, number, store, kind, stage))
                    print(f"seed {seed}, run {number} ({store}): {kind} in {stage}", flush=True)
                check(subject, reference)
                if by_jobs is not None and (left := by_jobs.jobs()):
                    raise ChaosFound(f"jobs are left over: {left}")
            except ChaosFound as found:
                kept = Path(tempfile.mkdtemp(prefix="neuroadda-chaos-found-"))
                shutil.copytree(subject.folder, kept / "run")
                last = [f"{event.kind} in {event.stage}" for event in done[-5:]]
                raise ChaosFound(f"seed {seed}, run {number}, after {last}; kept in {kept}: {found}") from found
            events += done
            took = format_seconds(time.monotonic() - began)
            print(
                f"seed {seed}, run {number} ({store}): {len(done)} faults, {subject.starts} starts, {took}: as it should be"
            )
            shutil.rmtree(subject.folder)
    return events


def write_results(events: list[Event], stages: list[str], seconds: float, disk: bool) -> None:
    """Write the counts as Markdown."""
    counted = Counter((event.kind, event.stage) for event in events)
    rows = [[kind, *(counted[kind, stage] or "" for stage in stages)] for kind in FAULTS]
    rows.append(["all", *(sum(counted[kind, stage] for kind in FAULTS) for stage in stages)])
    table = to_markdown(["fault", *stages, "all"], [[*row, sum(map(int, filter(None, row[1:])))] for row in rows])
    runs = Counter(store for _, _, store in {(event.seed, event.run, event.store) for event in events})
    stores = ", ".join(f"{number} with {store}" for store, number in sorted(runs.items()))
    shape, block = (" x ".join(map(str, side)) for side in (SHAPE_VX, BLOCK_VX))
    RESULTS.write_text(
        f"""# Chaos

{len(events)} faults at seeded random moments in {sum(runs.values())} runs ({stores}) of a segmentation of
{shape} voxels in blocks of {block}, by two workers. Every run ended in the bytes of an undisturbed serial run;
`neuroadda ledger verify --read` found nothing; no process or job was left over. Even seeds find fragments by
steepest ascent, odd ones from seeds. What each fault is, and what is asked of the run at once, is in
[tests/chaos](../../tests/chaos).{"" if disk else " No disk was filled: that takes root."}

{describe_run()}
- Seeds {", ".join(map(str, sorted({event.seed for event in events})))}; {format_seconds(seconds)}

{table}
""",
        encoding="utf-8",
    )


def main() -> int:
    """Run every seed; exit code 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--faults", type=int, default=70, help="of each seed")
    parser.add_argument(
        "--jobs", type=int, default=1, help="seeds at once, each with a disk, hosts and a Slurm of its own"
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--events", type=Path, help="where to put the faults of one seed, as JSON")
    options = parser.parse_args()
    if options.events is None:
        return run_seeds(options.seeds, options.faults, options.jobs, options.write)
    if CABLE not in os.environ and (code := run_on_two_hosts([*COMMAND, *sys.argv[1:]])) is not None:
        return code
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neuroadda-chaos-")))
        disk = stack.enter_context(small_disk(folder))
        slurm = stack.enter_context(local_slurm(folder / "slurm", on_the_other_host(os.environ.get(CABLE))))
        inputs = folder / "inputs"
        write_inputs(inputs)
        (seed,) = options.seeds
        undisturbed = configure(seed, inputs, folder / "undisturbed", launcher="serial")
        stages = stages_of(segment_volume(undisturbed))
        try:
            events = run_seed(seed, options.faults, inputs, folder, disk, slurm, digest(undisturbed))
        except ChaosFound as found:
            print(f"found: {found}", file=sys.stderr)
            return 1
    told = {"stages": stages, "disk": disk is not None, "events": [asdict(event) for event in events]}
    options.events.write_text(json.dumps(told))
    return 0


def run_seeds(seeds: list[int], faults: int, jobs: int, write: bool) -> int:
    """Run every seed in a process of its own."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="neuroadda-chaos-") as folder, ThreadPoolExecutor(jobs) as pool:
        files = [Path(folder) / f"{seed}.json" for seed in seeds]
        commands = [
            [*COMMAND, "--seeds", str(seed), "--faults", str(faults), "--events", str(file)]
            for seed, file in zip(seeds, files, strict=True)
        ]
        if any(list(pool.map(subprocess.call, commands))):
            return 1
        told = [json.loads(file.read_text()) for file in files]
    events = [Event(**event) for one in told for event in one["events"]]
    counts = Counter(event.kind for event in events)
    print_table("faults", [{"fault": kind, "times": counts[kind]} for kind in FAULTS])
    if write:
        write_results(events, told[0]["stages"], time.monotonic() - began, told[0]["disk"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
