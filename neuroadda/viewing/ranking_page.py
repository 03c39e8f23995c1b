"""A page on which every source of a ranking segments the same crops, so that a person chooses by looking."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from funlib.geometry import Roi

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.config import Zyx
from neuroadda.domains.consistency import draw_crops, find_neighbours, is_isotropic
from neuroadda.domains.ranking import RankConfig, Ranking
from neuroadda.observing import track
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.whole import agglomerate_array
from neuroadda.viewing import figures
from neuroadda.viewing.pages import open_template
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.placing import placing
from neuroadda.zoo.finding import Zoo

TEMPLATE = "ranking.html"
THRESHOLD: float = Components.model_fields["threshold"].default
CROPS = 3
CROP_VX: Zyx = (6, 256, 256)
ISOTROPIC_CROP_VX: Zyx = (32, 160, 160)


@dataclass(frozen=True)
class View:
    """The middle section of a crop: addresses (``data:``) of its pictures."""

    title: str
    raw: str
    sources: dict[str, tuple[str, str]]
    """By source: the boundary that it sees, and its segmentation."""


def write_ranking_page(target: Path, volume: Volume, zoo: Zoo, ranking: Ranking, config: RankConfig) -> Path:
    """Write the page to `target` (an .html file that needs nothing else) and return it.

    Crops are drawn as the ranking's are, but larger. Each is predicted and segmented as a volume of its own, at the default
    threshold; its middle section is shown.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    names = [row.name for row in ranking.rows]
    backbones = {name: zoo.backbone(name) for name in names}
    shape_vx = ISOTROPIC_CROP_VX if is_isotropic(volume) else CROP_VX
    networks = [backbone.card.architecture for backbone in backbones.values()]
    crops = draw_crops(volume, networks, config.patches.model_copy(update={"count": CROPS}), shape_vx)
    shown: dict[str, list[tuple[str, str]]] = {}
    for name in track("crops of sources", names):
        shown[name] = _segment(volume, backbones[name], crops)
    views = []
    for index, crop in enumerate(crops):
        section = volume.read(crop)[crop.shape[0] // volume.voxel_size[0] // 2]
        place = " ".join(f"{o / volume.units_per_nm:g}" for o in crop.begin)
        pictures = {name: pairs[index] for name, pairs in shown.items()}
        views.append(View(f"{place} nm (zyx)", _encode(figures.raw_image(section)), pictures))
    page = open_template(TEMPLATE).render(
        volume=str(volume.path),
        ranking=ranking,
        views=views,
        aspect=crops[0].shape[2] / crops[0].shape[1],
        threshold=THRESHOLD,
        level=f"{100 * config.level:g} %",
    )
    with placing(target, overwrite=True) as partial:
        partial.write_text(page, encoding="utf-8")
    return target


def _segment(volume: Volume, backbone: Backbone, crops: Sequence[Roi]) -> list[tuple[str, str]]:
    """Return, of each crop's middle section, the picture of the boundary and that of the segmentation."""
    network, channels = backbone.card.architecture, find_neighbours(backbone.card)
    shape: Zyx = tuple(crops[0].shape / volume.voxel_size)
    predictor = Predictor(backbone, Predict(device="cpu", precision="float32").resolve(network, shape))
    fragments = Fragments().resolve(volume.voxel_size_nm, backbone.card.offsets)
    pictures = []
    for crop in crops:
        affs, _ = predictor(volume, crop)
        found = agglomerate_array(affs, volume.voxel_size_nm, fragments, Agglomerate())
        segmentation = found.segment(THRESHOLD)
        middle = affs.shape[1] // 2
        boundary = 255 - affs[channels["2d"], middle].mean(axis=0)
        raw = volume.read(crop)[middle]
        colours = figures.labels_image(segmentation[middle], raw)
        pictures.append((_encode(figures.raw_image(boundary.astype(np.uint8))), _encode(colours)))
    return pictures


def _encode(image: np.ndarray) -> str:
    return figures.to_data_uri(figures.to_png(image))
