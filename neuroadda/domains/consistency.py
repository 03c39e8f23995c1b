"""How consistent a network's boundaries are when the input changes in a way that leaves the tissue the same.

A network that knows a tissue finds the same boundaries in its mirror image. The measure needs neither labels nor the data that the
network was trained on. The idea is CRank's (arXiv 2503.00450). CRank also weighs how sure the network is; that depends on its
training more than on the tissue, and is left out: docs/results/ranking.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from neuroadda.volumes.geometry.regions import roi_or_all

Dimensions = Literal["2d", "3d"]

BOUNDARY = 0.5
CROP_VX: Zyx = (16, 96, 96)
ISOTROPIC_CROP_VX: Zyx = (48, 48, 48)
ISOTROPIC = 2.0
FEWEST_PX = 32


@dataclass(frozen=True, eq=False)
class Consistency:
    """What a network makes of some crops of a volume.

    Attributes
    ----------
    both, either
        int64 (crops,): voxels that are boundary both as they are and mirrored, and those in either.
    boundary
        float64 (crops,): share of the voxels that are boundary.
    """

    both: np.ndarray
    either: np.ndarray
    boundary: np.ndarray

    @property
    def overlap(self) -> float:
        """Of the voxels of all crops that are boundary in either, the share that is in both; 0 where there is no boundary."""
        return float(self.both.sum() / max(self.either.sum(), 1))

    @property
    def values(self) -> np.ndarray:
        """float64 (crops,): what each crop says of the overlap. Their mean is the overlap, their spread tells how sure it is.

        The overlap is a ratio of two sums. A crop counts as much as it has boundary, so that its difference is weighed by that
        (the usual linear approximation of a ratio's variance).
        """
        return self.overlap + (self.both - self.overlap * self.either) / max(self.either.mean(), 1)


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
    region = roi_or_all(config.roi, volume)
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


@dataclass(frozen=True)
class Change:
    """A change of raw that leaves the tissue the same.

    Attributes
    ----------
    change
        Raw (uint8 Tensor, ending in zyx) to changed raw.
    undo
        Affinities of the changed raw (czyx) and their offsets to affinities of the raw.
    """

    change: Callable[[Tensor], Tensor]
    undo: Callable[[np.ndarray, Sequence[Zyx]], np.ndarray]


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


MIRROR = Change(lambda image: image.flip(-1), unflip)


def measure_consistency(volume: Volume, backbone: Backbone, crops: Sequence[Roi], device: str = "cpu") -> Crops:
    """Predict crops and their mirror images; return how well the boundaries agree.

    Parameters
    ----------
    volume
        Raw, uint8.
    crops
        See `draw_crops`.
    device
        Computation is in float32 on any.

    Returns
    -------
    Mapping
        "2d": of boundaries within sections, by the affinities along y and x. "3d": also by those along z; only of networks that
        predict them.
    """
    found: dict[Dimensions, list[tuple[int, int, float]]] = {}
    for boundaries in predict_boundaries(volume, backbone, crops, device):
        for dimensions, (plain, mirrored) in boundaries.items():
            told = *count_boundary(plain, mirrored), float((plain > BOUNDARY).mean())
            found.setdefault(dimensions, []).append(told)
    return {
        dimensions: Consistency(*(np.array(column) for column in zip(*rows, strict=True)))
        for dimensions, rows in found.items()
    }


def predict_boundaries(
    volume: Volume,
    backbone: Backbone,
    crops: Sequence[Roi],
    device: str = "cpu",
    changes: Sequence[Change] = (MIRROR,),
) -> Iterator[Mapping[Dimensions, list[np.ndarray]]]:
    """Yield the boundaries of each crop (float32, zyx, see `to_boundary`): plain, then after each change."""
    network, offsets = backbone.card.architecture, backbone.card.predicted_offsets
    (depth, height, width), (step_z, step_y, _) = crops[0].shape / volume.voxel_size, network.alignment_vx
    # A crop may begin off the alignment along z and y. A tile of the crop's size would leave edges for more tiles.
    covering: Zyx = (depth + step_z - 1, height + step_y - 1, width)
    predictor = Predictor(backbone, Predict(device=device, precision="float32").resolve(network, covering))
    channels = find_neighbours(backbone.card)
    for crop in crops:
        end_if_cancelled()
        given = predictor.read(volume, crop)

        def predict(image: Tensor, given: PredictorInput = given) -> np.ndarray:
            changed = replace(given, image=image.contiguous(), affs=torch.empty_like(given.affs))
            return predictor.infer(changed).wait().astype(np.float32) / 255

        affs = [predict(given.image)]
        affs += [one.undo(predict(one.change(given.image)), offsets) for one in changes]
        yield {dimensions: [to_boundary(one, used) for one in affs] for dimensions, used in channels.items()}


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


def count_boundary(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    """Return how many voxels are boundary in both of two boundaries, and in either."""
    here, there = first > BOUNDARY, second > BOUNDARY
    return int(np.count_nonzero(here & there)), int(np.count_nonzero(here | there))
