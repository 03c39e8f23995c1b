"""How consistent a network's boundaries are when the input changes in a way that leaves the tissue the same.

A network that knows a tissue finds the same boundaries in its mirror image. The measure needs neither labels nor the data that the
network was trained on. It follows CRank (arXiv 2503.00450), for affinities. Another contrast is there for studies; the
product takes the mirror image alone: docs/results/ranking.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm
from typing import Literal

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor

from neuroadda.backbones.card import Card
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.devices import end_if_cancelled
from neuroadda.backbones.network import Network
from neuroadda.config import Zyx
from neuroadda.domains.patches import PatchConfig, draw_places
from neuroadda.errors import UserError
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor, PredictorInput
from neuroadda.volumes.arrays import Volume

Dimensions = Literal["2d", "3d"]
Transformation = Literal["mirror", "contrast"]

BOUNDARY = 0.5
GAMMA = 1.3
CROP_VX: Zyx = (16, 96, 96)
ISOTROPIC_CROP_VX: Zyx = (48, 48, 48)
ISOTROPIC = 2.0
FEWEST_PX = 32


@dataclass(frozen=True, eq=False)
class Consistency:
    """What a network makes of some crops of a volume.

    Attributes
    ----------
    agreement
        float64 (crops, transformations): from 0 to 1, see `agree`; NaN where the network sees no boundary.
    boundary
        float64 (crops,): share of the voxels that are boundary.
    entropy
        float64 (crops,): mean binary entropy (bits) of the voxels that are boundary; NaN where there is none.
    """

    agreement: np.ndarray
    boundary: np.ndarray
    entropy: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """float64 (crops,): the mean over transformations; 0 where the network sees no boundary."""
        return np.nan_to_num(self.agreement).mean(axis=1)

    @property
    def mean(self) -> float:
        """Mean over crops."""
        return float(self.values.mean())


Crops = Mapping[Dimensions, Consistency]


def is_isotropic(volume: Volume) -> bool:
    """Return whether sections are no more than twice as thick as pixels are wide."""
    z, y, x = volume.voxel_size_nm
    return z <= ISOTROPIC * min(y, x)


def draw_crops(
    volume: Volume, networks: Sequence[Network], config: PatchConfig, crop_vx: Zyx | None = None
) -> list[Roi]:
    """Return random crops of a volume, in world units, that suit all of some networks.

    Along x they lie on the alignment of every network, so that a crop and its mirror image are computed alike.

    Parameters
    ----------
    config
        How many, and where.
    crop_vx
        Their shape, zyx; by default 16 x 96 x 96, and 48 x 48 x 48 where voxels are isotropic. Of less, all.

    Raises
    ------
    UserError
        If not even 32 x 32 voxels of a section fit; else see `domains.patches.draw_places`.
    """
    wanted = crop_vx or (ISOTROPIC_CROP_VX if is_isotropic(volume) else CROP_VX)
    region = config.roi.to_roi(volume) if config.roi else volume.roi
    depth, height, width = (min(w, s) for w, s in zip(wanted, region.shape / volume.voxel_size, strict=True))
    if any(n < min(FEWEST_PX, w) for n, w in zip((height, width), wanted[1:], strict=True)):
        what = (
            f"a crop of {FEWEST_PX} x {FEWEST_PX} voxels (yx) does not fit into the {'ROI' if config.roi else 'volume'}"
        )
        raise UserError(what, str(volume.path), "take a larger one")
    step = lcm(*(network.alignment_vx[2] for network in networks))
    shape = Coordinate(depth, height, max(width // step, 1) * step)
    places = draw_places(volume, (shape[0], shape[1], min(shape[2], width)), config)
    crops = []
    for centre in places.centres_vx:
        first = Coordinate(centre) - shape / 2
        begin = Coordinate(first[0], first[1], first[2] // step * step)
        crops.append(Roi(begin * volume.voxel_size + volume.roi.begin, shape * volume.voxel_size))
    return crops


def measure_consistency(
    volume: Volume,
    backbone: Backbone,
    crops: Sequence[Roi],
    device: str = "cpu",
    transformations: Sequence[Transformation] = ("mirror",),
) -> Crops:
    """Predict crops as they are, and transformed; return how well the boundaries agree.

    Parameters
    ----------
    volume
        Raw, uint8.
    crops
        See `draw_crops`.
    device
        Computation is in float32 on any.
    transformations
        "mirror": mirrored along x, "contrast": at another contrast.

    Returns
    -------
    Mapping
        "2d": of boundaries within sections, by the affinities along y and x. "3d": also by those along z; only of networks that
        predict them.
    """
    network, offsets = backbone.card.architecture, backbone.card.predicted_offsets
    (depth, height, width), (step_z, step_y, _) = crops[0].shape / volume.voxel_size, network.alignment_vx
    # A crop may begin off the alignment along z and y. A tile of the crop's size would leave edges for more tiles.
    covering: Zyx = (depth + step_z - 1, height + step_y - 1, width)
    predictor = Predictor(backbone, Predict(device=device, precision="float32").resolve(network, covering))
    channels = find_neighbours(backbone.card)
    found: dict[Dimensions, list[tuple[list[float], float, float]]] = {dimensions: [] for dimensions in channels}
    for crop in crops:
        end_if_cancelled()
        given = predictor.read(volume, crop)

        def predict(image: Tensor, given: PredictorInput = given) -> np.ndarray:
            changed = replace(given, image=image.contiguous(), affs=torch.empty_like(given.affs))
            return predictor.infer(changed).wait().astype(np.float32) / 255

        plain = predict(given.image)
        changed = [
            unflip(predict(given.image.flip(-1)), offsets) if how == "mirror" else predict(bend(given.image))
            for how in transformations
        ]
        for dimensions, used in channels.items():
            one = to_boundary(plain, used)
            agreement = [agree(one, to_boundary(affs, used)) for affs in changed]
            found[dimensions].append((agreement, float((one > BOUNDARY).mean()), boundary_entropy(one)))
    return {
        dimensions: Consistency(*(np.array(column) for column in zip(*rows, strict=True)))
        for dimensions, rows in found.items()
    }


def find_neighbours(card: Card) -> dict[Dimensions, list[int]]:
    """Return the predicted channels of nearest neighbours along y and x, and, where there are any along z, of all three axes."""
    offsets = card.predicted_offsets
    first = len(offsets) - card.architecture.out_channels
    nearest = [c for c, offset in enumerate(offsets) if c >= first and sum(map(abs, offset)) == 1]
    flat = [channel for channel in nearest if not offsets[channel][0]]
    return {"2d": flat} if nearest == flat else {"2d": flat, "3d": nearest}


def to_boundary(affs: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """Return how much of a boundary each voxel is (float32, zyx): 1 less the mean affinity to its nearest neighbours.

    The first column is left out: in a mirrored crop, its affinity along x is not there.
    """
    return np.asarray(1 - affs[list(channels)].mean(axis=0))[..., 1:]


def unflip(affs: np.ndarray, offsets: Sequence[Zyx]) -> np.ndarray:
    """Return the affinities of a crop (czyx) from those of its mirror image along x; where there is none, 0.

    An affinity along x is stored at one of its two voxels, and at the other one in the mirror image.
    """
    mirrored = affs[..., ::-1]
    result = np.zeros_like(affs)
    for channel, (_, _, dx) in enumerate(offsets):
        if dx < 0:
            result[channel, ..., -dx:] = mirrored[channel, ..., :dx]
        elif dx > 0:
            result[channel, ..., :-dx] = mirrored[channel, ..., dx:]
        else:
            result[channel] = mirrored[channel]
    return result


def bend(image: Tensor) -> Tensor:
    """Return raw (uint8) at another contrast: its values from 0 to 1 to the power of 1.3."""
    return ((image.float() / 255) ** GAMMA * 255).round().to(torch.uint8)


def agree(first: np.ndarray, second: np.ndarray) -> float:
    """Return how well two boundaries agree, from 0 to 1: the mean, over the voxels that are boundary in either.

    A voxel on the same side of 1/2 in both counts the geometric mean of how sure they are, another one 0. NaN where there is no
    boundary.
    """
    here = (first > BOUNDARY) | (second > BOUNDARY)
    if not here.any():
        return float("nan")
    one, other = first[here], second[here]
    same = (one > BOUNDARY) == (other > BOUNDARY)
    sure = np.sqrt(np.maximum(one, 1 - one) * np.maximum(other, 1 - other))
    return float((same * sure).mean())


def boundary_entropy(boundary: np.ndarray) -> float:
    """Return the mean binary entropy (bits) of the voxels that are boundary; NaN where there is none."""
    inside = boundary[boundary > BOUNDARY].astype(np.float64).clip(1e-6, 1 - 1e-6)
    if not len(inside):
        return float("nan")
    return float(-(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)).mean())
