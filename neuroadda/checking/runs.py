"""Look at what a whole config depends on, or at one volume."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuroadda.checking.findings import Findings
from neuroadda.checking.looking import look_at_labels, look_at_raw
from neuroadda.checking.segmenting import IMPORT, check_evaluate, check_segment
from neuroadda.checking.sources import check_source, is_source
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.info import describe
from neuroadda.volumes.storage.locations import Location, to_location

if TYPE_CHECKING:
    from neuroadda.flow import RunConfig


def check_run(
    config: "RunConfig",
    *,
    overwrite: bool = False,
    broken: Collection[str] = (),
    made: Sequence[Path] = (),
    for_run: bool = False,
    dry_run: bool = False,
) -> Findings:
    """Look at all that a config depends on.

    Parameters
    ----------
    broken
        Names of sections that are not valid as they are: keys, or all of them, were left out.
    made
        Folders of backbones that they make.
    for_run, dry_run
        See `Findings`.
    """
    findings = Findings(for_run=for_run, dry_run=dry_run)
    if config.train is not None:
        from neuroadda.checking.training import check_train

        check_train(
            findings,
            config.train,
            validation=config.validation,
            select=config.select,
            overwrite=overwrite or "train" in broken,
            validated=config.validation is not None or "validation" in broken,
        )
    elif "train" in broken:
        from neuroadda.checking.backbones import check_zoo
        from neuroadda.checking.training import check_validation

        if config.validation is not None:
            check_validation(findings, "validation", config.validation)
        if config.select is not None:
            check_zoo(findings, "select", config.select)
    if config.adapt is not None:
        from neuroadda.checking.proposing import check_adapt

        check_adapt(findings, config.adapt, overwrite=overwrite or "adapt" in broken)
    folders = [part.output for part in (config.train, config.adapt) if part is not None]
    if config.tune is not None:
        from neuroadda.checking.tuning import check_tune

        check_tune(findings, config.tune, made=(*folders, *made))
    if config.segment is not None:
        check_segment(
            findings,
            config.segment,
            evaluate=config.evaluate,
            overwrite=overwrite or "segment" in broken,
            made=(*folders, *made),
        )
    elif "segment" in broken and config.evaluate is not None:
        check_evaluate(findings, config.evaluate, None)
    _check_sections(findings, config, broken)
    if not broken and config.train is config.adapt is config.tune is config.segment is None:
        findings.fault("the config", "there is nothing in it to do", "see configs/ for examples")
    return findings


def _check_sections(findings: Findings, config: "RunConfig", broken: Collection[str]) -> None:
    """Look whether every section has one that uses it, and a folder of its own."""
    for name, user in (("validation", "train"), ("select", "train"), ("evaluate", "segment")):
        if getattr(config, name) is not None and getattr(config, user) is None and user not in broken:
            findings.doubt(name, f"it is not used: there is no [{user}] section", f"add [{user}], or leave it out")
    taken: dict[Location, str] = {}
    for name in ("train", "adapt", "tune", "segment"):
        part = getattr(config, name)
        if part is not None and (other := taken.setdefault(to_location(part.output).resolve(), name)) != name:
            findings.fault(f"{name}.output", f"{part.output} is {other}.output, too", "give each a folder of its own")


def check_volume(path: Location | str) -> Findings:
    """Look at a volume, or at what may be imported as one; `Findings.facts` is what is known of it."""
    findings = Findings()
    where = str(path)
    if is_source(path):
        check_source(findings, where, path)
        return findings
    volume = findings.attempt(where, IMPORT, Volume.open, path)
    if volume is None:
        return findings
    with suppress(UserError, OSError):  # voxels that cannot be read are told below
        findings.facts = describe(volume)
    if volume.channels is not None:
        findings.note(where, f"{volume.channels} channels of {volume.dtype}")
    elif volume.dtype == np.uint8:
        look_at_raw(findings, where, volume)
    elif volume.dtype.kind in "iu" and volume.dtype.itemsize > 1:
        look_at_labels(findings, where, volume, None, judged=False)
    elif volume.dtype.kind in "ib":
        mend = "import it with --kind raw, which scales it to uint8; labels and masks may be of this type"
        findings.doubt(where, f"it is {volume.dtype}: every run refuses it as raw, which is uint8", mend)
    else:
        findings.doubt(where, f"it is {volume.dtype}: neither raw (uint8) nor labels (integers)", IMPORT)
    return findings
