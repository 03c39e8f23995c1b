"""Proposals as the tools of proofreaders read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from neuroadda.active.proposals import Proposals
from neuroadda.errors import UserError

Export = Literal["csv", "catmaid", "webknossos", "neuroglancer", "crops"]

NAMES: dict[Export, str] = {
    "csv": "proposals.csv",
    "catmaid": "catmaid.csv",
    "webknossos": "webknossos.nml",
    "neuroglancer": "neuroglancer.json",
    "crops": "crops",
}


def export_proposals(
    kind: Export,
    proposals: Proposals,
    target: Path,
    *,
    overwrite: bool = False,
    url: str | None = None,
    dataset: str | None = None,
    context_nm: Sequence[float] = (0.0, 0.0, 0.0),
) -> Path:
    """Write proposals for one tool; `NAMES` has the usual name of what is written.

    Parameters
    ----------
    kind
        "csv", "catmaid", "webknossos", "neuroglancer" or "crops".
    target
        The file, or for crops the folder.
    overwrite
        Replace a file that is there; crops are never replaced.
    url
        Where raw is served (neuroglancer).
    dataset
        Name of the dataset in WEBKNOSSOS.
    context_nm
        How much of raw to show around a box, zyx (crops).

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    UserError
        If the kind is not known, what it needs is missing, or `target` exists; nothing is left behind.
    """
    match kind:
        case "csv":
            from neuroadda.active.exports.csv_table import export_csv

            return export_csv(proposals, target, overwrite=overwrite)
        case "catmaid":
            from neuroadda.active.exports.catmaid import export_catmaid

            return export_catmaid(proposals, target, overwrite=overwrite)
        case "webknossos":
            from neuroadda.active.exports.webknossos import export_webknossos

            return export_webknossos(proposals, target, dataset=dataset, overwrite=overwrite)
        case "neuroglancer":
            from neuroadda.active.exports.neuroglancer import export_neuroglancer

            if url is None:
                raise UserError("it is not said where raw is served", "neuroglancer", "give the url of the raw array")
            return export_neuroglancer(proposals, target, url, overwrite=overwrite)
        case "crops":
            from neuroadda.active.exports.crops import export_crops

            return export_crops(proposals, target, context_nm=context_nm)
    raise UserError(f"{kind!r} is no kind of export", None, f"one of: {', '.join(get_args(Export))}")
