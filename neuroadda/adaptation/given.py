"""What is there before an adaptation begins: proposals, labels of their boxes, and a ranking."""

from pathlib import Path
from typing import Any

from neuroadda.active.proposals import Proposals, read_proposals
from neuroadda.adaptation.config import AdaptConfig
from neuroadda.domains.ranking_file import RANKING
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.inputs import Inputs


def take_given(config: AdaptConfig, folder: Path, raw: Volume) -> tuple[AdaptConfig, Proposals]:
    """Return the proposals in a folder, and the config with what they say where it says nothing itself.

    Boxes of later rounds have the shape of the given ones, and the ranking that lies beside them is taken.

    Raises
    ------
    UserError
        If there are no proposals, they are of another volume, or raw was edited since.
    """
    found = read_proposals(folder, raw)
    if not found.proposals:
        raise UserError("there is no box in these proposals", str(folder), "propose some")
    inputs = Inputs(folder, trust=config.trust_inputs)
    inputs.identify("raw", raw)
    if inputs.changed:
        right = "--trust-inputs takes them as they are, or propose boxes again"
        raise UserError("raw was edited since these boxes were proposed", str(folder), right)
    said: dict[str, Any] = {}
    if "shape_nm" not in config.propose.model_fields_set:
        said["propose"] = config.propose.model_copy(update={"shape_nm": found.proposals[0].shape_nm})
    if config.backbone is None and config.select.ranking is None and (folder / RANKING).exists():
        said["select"] = config.select.model_copy(update={"ranking": folder})
    return config.model_copy(update=said), found
