"""What may be asked of a segmentation."""

from pathlib import Path

from pydantic import Field

from neuroadda.blockwise.execution_config import Execution
from neuroadda.config import PathText, PathTexts, PublicConfig, Zyx
from neuroadda.ledger.url import ledger_url
from neuroadda.prediction.predict import Predict
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.settings import Threshold
from neuroadda.volumes.coverage.no_data_setting import AUTO
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.storage.locations import Location, to_location


class SegmentConfig(PublicConfig):
    """From raw to a segmentation.

    Attributes
    ----------
    raw
        Array of the volume: a path or a URL.
    mask
        Array, a path or a URL: outside it (0) is no tissue. Nothing is predicted there, and blocks all outside cost nothing.
        Its voxels may be coarser than those of raw by whole factors.
    no_data
        Where raw has none: "auto" finds constant areas (black rims, lost tiles, blank sections) and repeated sections first, and
        keeps the mask in the run's folder; "none"; or a mask, 0 where there is no data. Nothing is segmented there, and networks
        see the mirror image of the tissue. It is joined with `mask`.
    backbone
        An entry of the zoo that comes with neuroadda, or the folder of a network. Of a list, the mean of their affinities is taken,
        whatever their order; the first one's card tells how it is segmented.
    output
        Folder of the run: edges, merges, lookup table, logs, config.
    volumes
        Path or URL of the arrays ``affs``, ``fragments`` and ``segmentation``; ``<output>/volumes.zarr`` by default.
    ledger
        URL of the ledger; by default that in the environment variable NEUROADDA_LEDGER, else ``sqlite:///<output>/ledger.db``.
    roi
        Part of the volume; all of it by default.
    block_vx
        Shape of a block of every stage; by default 128 an axis, or (32, 256, 256) for anisotropic volumes, at most the volume.
    chunk_vx
        Chunk shape of the arrays; it divides the block, and is about 64 an axis by default.
    shard
        Keep each block of an array in one file of many chunks (zarr format 3).
    any_voxel_size
        Let a backbone see a volume whose voxel size is far from that of its training: by a factor above 1.5, along any axis.
    trust_inputs
        Do not look whether raw or mask was edited since the run began.
    predict
        How affinities are predicted.
    fragments, agglomerate
        How segments are made of affinities; where neither is given, as the backbone's card says (see `take_tuned`).
    components
        Which fragments are one segment.
    execution
        How blocks are carried out; it does not change the result.
    """

    raw: PathText
    backbone: PathTexts
    output: PathText
    volumes: PathText | None = None
    mask: PathText | None = None
    no_data: PathText = AUTO
    ledger: str | None = None
    roi: RoiConfig | None = None
    block_vx: Zyx | None = None
    chunk_vx: Zyx | None = None
    shard: bool = False
    any_voxel_size: bool = False
    trust_inputs: bool = False
    predict: Predict = Field(default_factory=Predict)
    fragments: Fragments = Field(default_factory=Fragments)
    agglomerate: Agglomerate = Field(default_factory=Agglomerate)
    components: Threshold = Field(default_factory=Threshold)
    execution: Execution = Field(default_factory=Execution)

    @property
    def backbones(self) -> tuple[str, ...]:
        """All backbones."""
        return (self.backbone,) if isinstance(self.backbone, str) else self.backbone

    @property
    def ledger_url(self) -> str:
        """The ledger's URL, with the default filled in."""
        return ledger_url(self.output, self.ledger)

    @property
    def arrays(self) -> Location:
        """Where the arrays lie, with the default filled in."""
        return to_location(self.volumes) if self.volumes else Path(self.output) / "volumes.zarr"
