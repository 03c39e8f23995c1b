"""Options that several verbs share, and how they print."""

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.verbosity import is_quiet
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.flow import RunConfig
    from neuroadda.volumes.geometry.regions import RoiConfig

CONFIG_HELP = (
    "TOML or JSON; see configs/. May be given several times: the keys of a later file override those of an earlier one."
)
ConfigFiles = Annotated[list[Path], typer.Option("--config", "-c", help=CONFIG_HELP)]
MaybeConfigFiles = Annotated[list[Path] | None, typer.Option("--config", "-c", help=CONFIG_HELP)]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Set a key: --set segment.components.threshold=0.4")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print blocks, voxels and bytes of each stage; write nothing.")]
MEASURE_HELP = (
    "With --dry-run: segment this many small boxes in a temporary folder, which is removed, and forecast time, bytes and memory "
    "of the whole."
)
Measure = Annotated[int | None, typer.Option("--measure", min=2, metavar="BOXES", help=MEASURE_HELP)]
Overwrite = Annotated[bool, typer.Option(help="Replace outputs that were made with other parameters or inputs.")]
TRUST_HELP = "Do not check whether inputs were edited since the run began."
TrustInputs = Annotated[bool, typer.Option("--trust-inputs", help=TRUST_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
ZOO_HELP = "Folder or URL (http, s3 ...) of a zoo; by default the one that comes with neuroadda."
Zoo = Annotated[str | None, typer.Option("--zoo", help=ZOO_HELP)]
RAW_HELP = "Zarr array of raw: a path or a URL; by default that of the config."
Raw = Annotated[str | None, typer.Argument(metavar="RAW", help=RAW_HELP)]
Output = Annotated[str | None, typer.Option("--output", "-o", help="Folder for all that is written.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Worker processes; by default 2. The result is the same, but for the last bits on a GPU: set tile_vx there.",
    ),
]
# A list, so that a second one is refused by `take_one`: click would keep the last alone.
Backbone = Annotated[list[str] | None, typer.Option("--backbone", help="An entry of the zoo, or a folder.")]
Backbones = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone", help="An entry of the zoo, or a folder; give it again for the mean of several (an ensemble)."
    ),
]
LEDGER_HELP = (
    "URL of the ledger; by default NEUROADDA_LEDGER, else ledger.db in the folder. Passwords belong in the variable."
)
SIZE_HELP = "Accept a voxel size unlike the backbone's training (by a factor above 1.5)."
AnyVoxelSize = Annotated[bool | None, typer.Option("--any-voxel-size", help=SIZE_HELP)]
Ledger = Annotated[str | None, typer.Option("--ledger", metavar="URL", help=LEDGER_HELP)]
NO_DATA_HELP = "Where raw has no data: auto (find it first; the default), none, or a mask that `neuroadda mask` wrote."
NoData = Annotated[str | None, typer.Option("--no-data", metavar="auto|none|MASK", help=NO_DATA_HELP)]
RANKING_HELP = "A ranking that `domains rank -o` wrote, or the folder that it lies in: the zoo is not ranked again."
RankingFile = Annotated[Path | None, typer.Option("--ranking", metavar="FILE", help=RANKING_HELP)]
BOX = "Z Y X DEPTH HEIGHT WIDTH"
Triple = tuple[float, float, float]


def take_one(given: list[str] | None, verb: str, option: str = "--backbone") -> str | None:
    """Return the backbone that an option names, None where it is not given; raise UserError if it was given again."""
    if given and len(given) > 1:
        raise UserError(f"{verb} takes one backbone", option, f"it was given {len(given)} times: {', '.join(given)}")
    return given[0] if given else None


def print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Print what is known of one thing, as JSON or as a table of two columns, whose numbers have four digits that count."""
    from neuroadda.cli.console import print_json, print_table

    if as_json:
        print_json(facts)
    else:
        print_table("", [{"what": key, "is": _to_text(value)} for key, value in facts.items()])


def _to_text(value: Any, inner: bool = False) -> Any:
    if isinstance(value, dict):
        text = "; ".join(f"{key}: {_to_text(part, inner=True)}" for key, part in value.items())
        return f"({text})" if inner else text
    return f"{value:.4g}" if isinstance(value, float) else value


def read_box(given: str, option: str, right: str) -> "RoiConfig | None":
    """Return the box that six numbers, as in `BOX`, say; None where these are no numbers."""
    from neuroadda.volumes.geometry.regions import RoiConfig

    numbers = given.replace(",", " ").split()
    try:
        offset, shape = (tuple(float(n) for n in part) for part in (numbers[:3], numbers[3:]))
    except ValueError:
        return None
    if len(numbers) != 6 or not all(math.isfinite(n) for n in offset + shape) or min(shape) <= 0:
        raise UserError(f"{given!r} is no box", option, right)
    return RoiConfig(offset_nm=offset, shape_nm=shape)  # type: ignore[arg-type] # three of each


def refuse_many_processes(verb: str) -> None:
    """Raise UserError if torchrun or srun started this as one of several processes, which only `train` knows how to be."""
    from neuroadda.training.ranks import find_rank

    count = find_rank(os.environ).count
    if count > 1:
        right = "share the training by `neuroadda train`, then run the rest in one process"
        raise UserError(f"{verb} is for one process, and {count} were started", "the environment", right)


def load_run(
    files: list[Path] | None,
    overrides: list[str] | None,
    options: Mapping[str, Any] | None = None,
    usage: str | None = None,
    quiet: bool = False,
) -> "RunConfig":
    """Return the `RunConfig` in files, each laid over those before it; then come a verb's options, then --set.

    Parameters
    ----------
    options
        Sections of what a verb was given; None, at any depth, is not given.
    usage
        What a verb can be given instead of files; None where it needs files.
    quiet
        Print nothing where this takes seconds.
    """
    from neuroadda.config import without_none

    wanted = without_none(options or {})
    for section in wanted.values():
        if Path(str(section.get("raw", ""))).suffix in (".toml", ".json"):
            raise UserError("this is a config, not raw", section["raw"], f"give it by -c: -c {section['raw']}")
    if usage is not None and not files and not wanted:
        raise UserError("nothing was given to work on", None, f"give {usage}, or --config FILE")
    if not (quiet or is_quiet()) and "torch" not in sys.modules and sys.stderr.isatty():
        print("note: importing torch, which takes some seconds", file=sys.stderr, flush=True)
    from neuroadda.flow import load_config

    try:
        return load_config(files or [], overrides or [], wanted)
    except UserError as error:
        if files or usage is None:
            raise
        raise UserError(error.what, error.where, error.right or f"give {usage}") from error


def trust_inputs_of(config: "RunConfig") -> "RunConfig":
    """Return a config none of whose parts looks whether its inputs were edited."""
    parts = {name: getattr(config, name) for name in ("train", "adapt", "segment")}
    trusting = {
        name: part.model_copy(update={"trust_inputs": True}) for name, part in parts.items() if part is not None
    }
    return config.model_copy(update=trusting)


def take_section(config: "RunConfig", name: str, files: list[Path] | None = None) -> Any:
    """Return a section of a config; raise UserError if it is not there."""
    section = getattr(config, name)
    if section is None:
        where = ", ".join(map(str, files)) if files else None
        raise UserError(f"there is no [{name}] section", where, "see configs/ for examples")
    return section
