"""Look at everything before a long run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroadda.api.inputs import StrPath, VolumeLike
from neuroadda.volumes.arrays import Volume

if TYPE_CHECKING:
    from neuroadda.checking.findings import Findings
    from neuroadda.flow import RunConfig

CONFIGS = (".toml", ".json")
VALID = "see configs/ for examples, and docs/config.md for what each section takes"


def check(
    target: "RunConfig | VolumeLike | Sequence[StrPath]",
    *,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
) -> "Findings":
    """Look at everything that a run depends on, in seconds: inputs, backbone, output, ledger, disk, GPU. Nothing is written.

    Parameters
    ----------
    target
        A config, or the path of one (``.toml``, ``.json``; of several, each laid over those before it); or a volume: a path or a
        URL of a zarr array ``[c,] z, y, x``, or of what `import_volume` reads.
    overrides
        Keys to set in a config, such as ``segment.execution.workers=8``.
    overwrite
        The run may replace other results.

    Returns
    -------
    Findings
        ``findings["wrong"]`` are the faults, each with its mend, ``findings["doubtful"]`` what may not be meant,
        ``findings["right"]`` the rest; `facts` is what `neuroadda info` says of a volume.

    Raises
    ------
    UserError
        If an override makes no sense. What is wrong with the config or the volume is a finding.
    """
    from neuroadda.checking.runs import check_run, check_volume
    from neuroadda.flow import RunConfig

    if isinstance(target, RunConfig):
        return check_run(target, overwrite=overwrite)
    if isinstance(target, Volume):
        return check_volume(target.path)
    if isinstance(target, str | Path) and Path(target).suffix.lower() not in CONFIGS:
        return check_volume(target)
    paths = [target] if isinstance(target, str | Path) else list(target)
    return _check_files(paths, overrides, overwrite)


def _check_files(paths: Sequence[StrPath], overrides: Sequence[str], overwrite: bool) -> "Findings":
    """Look at the config in files: what cannot be parsed is told, and the sections that can be are looked at all the same."""
    from neuroadda.checking.findings import Findings
    from neuroadda.checking.runs import check_run
    from neuroadda.checking.salvage import NOT_GIVEN, salvage
    from neuroadda.config import apply_overrides, lay_over, load_config_file
    from neuroadda.flow import RunConfig

    where, findings = ", ".join(map(str, paths)), Findings()
    read = [findings.attempt(str(path), VALID, load_config_file, path) for path in paths]
    data = apply_overrides(lay_over({}, *(one for one in read if one is not None)), overrides)
    salvaged = salvage(RunConfig, data, where)
    for error in salvaged.errors:
        findings.add_error(error, where, VALID)
    if salvaged.config is not None and None not in read:
        broken = salvaged.broken
        found = check_run(salvaged.config, overwrite=overwrite, broken=broken, made=_find_made(data, broken))
        findings.add_all(found, without=NOT_GIVEN)
    return findings


def _find_made(data: Mapping[str, Any], broken: set[str]) -> list[Path]:
    """Return the folders of the backbones that sections make which are not valid."""
    sections = [data[name] for name in ("train", "adapt") if name in broken]
    outputs = [section.get("output") for section in sections if isinstance(section, Mapping)]
    return [Path(output) for output in outputs if isinstance(output, str)]
