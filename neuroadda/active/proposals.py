"""What a person is asked to label: boxes in a volume, each with its rank, its score and the reason it was chosen."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from neuroadda.config import Config, dump_config, load_config_file, parse_config, write_json
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig

PROPOSALS, SHEET, LABELS = "proposals.json", "contact_sheet.html", "labels"  # in the folder of `propose`

Positive = Annotated[float, Field(gt=0)]


class Proposal(RoiConfig):
    """One box to label; `offset_nm` and `shape_nm` lie on the voxels of the volume.

    Attributes
    ----------
    rank
        1 for the first to label.
    score
        Its uncertainty, 0 to 1.
    reason
        One sentence for people.
    """

    rank: int = Field(ge=1)
    score: float
    reason: str

    @property
    def name(self) -> str:
        """Short name of files and layers: ``roi_1``."""
        return f"roi_{self.rank}"

    @property
    def box(self) -> RoiConfig:
        """The box alone."""
        return RoiConfig(offset_nm=self.offset_nm, shape_nm=self.shape_nm)


class Pool(Config):
    """What was chosen from.

    Attributes
    ----------
    candidates
        How many boxes.
    lowest, median, highest
        Of their scores.
    """

    candidates: int
    lowest: float
    median: float
    highest: float


class Request(Config):
    """What was asked for: the same on every machine, wherever things lie there and however they are computed.

    Attributes
    ----------
    volume_fingerprint, voxel_size_nm
        Of raw.
    backbone_digest, committee
        Digest of the network that was unsure, and those of the others that it was compared with.
    mask_fingerprint, no_data_fingerprint
        None without a mask, and where raw has data everywhere.
    roi, excluded
        Where boxes were looked for, and which had been labelled.
    strategy, seed
        How they were chosen.
    settings
        Everything else, as plain data.
    """

    volume_fingerprint: str
    voxel_size_nm: tuple[Positive, Positive, Positive]
    backbone_digest: str
    committee: tuple[str, ...] = ()
    mask_fingerprint: str | None = None
    no_data_fingerprint: str | None = None
    roi: RoiConfig | None = None
    excluded: tuple[RoiConfig, ...] = ()
    strategy: str
    seed: int
    settings: dict[str, Any] = Field(default_factory=dict)


class Proposals(Request):
    """The boxes to label in one volume, in their order.

    Attributes
    ----------
    volume, backbone
        Path of raw and name of the network, for people.
    """

    volume: str
    backbone: str
    pool: Pool
    proposals: tuple[Proposal, ...]

    @model_validator(mode="after")
    def _check_boxes(self) -> Self:
        if len({p.rank for p in self.proposals}) < len(self.proposals):
            raise ValueError("two boxes have the same rank")
        if any(size <= 0 for p in self.proposals for size in p.shape_nm):
            raise ValueError("a box has no size; shape_nm should be above 0")
        return self

    @property
    def request(self) -> Request:
        """What was asked for."""
        return Request(**{name: getattr(self, name) for name in Request.model_fields})

    @property
    def boxes(self) -> dict[str, RoiConfig]:
        """The boxes alone, by name."""
        return {proposal.name: proposal.box for proposal in self.proposals}

    def open_volume(self) -> Volume:
        """Open the raw that they lie in.

        Raises
        ------
        UserError
            If it is not there any more, or another one than they were made for.
        """
        raw = Volume.open(self.volume)
        if raw.fingerprint != self.volume_fingerprint:
            raise UserError("this is not the volume that the proposals were made for", self.volume, "propose again")
        return raw

    def save(self, folder: Path) -> Path:
        """Write ``proposals.json`` into a folder and return its path.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        path = folder / PROPOSALS
        try:
            write_json(path, dump_config(self))
        except OSError as error:
            raise UserError(f"it cannot be written: {error.strerror}", str(path)) from error
        return path


def read_proposals(path: Path, raw: Volume | None = None) -> Proposals:
    """Return the proposals in a file, or in a folder's ``proposals.json``.

    Parameters
    ----------
    raw
        The volume that they should be of.

    Raises
    ------
    UserError
        If it is missing or malformed, or they are of another volume.
    """
    file = path / PROPOSALS if path.is_dir() else path
    if path.is_dir() and not file.exists():
        what = f"there are no proposals in this folder: it has no {PROPOSALS}"
        raise UserError(what, str(path), "name a folder of `neuroadda propose`")
    found = parse_config(Proposals, load_config_file(file), str(file))
    if raw is not None and found.volume_fingerprint != raw.fingerprint:
        raise UserError(f"these boxes lie in another volume, {found.volume}", str(path), "name proposals of this one")
    return found
