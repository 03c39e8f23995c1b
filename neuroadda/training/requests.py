"""The Gunpowder request graph: random places of the samples, augmented, with affinities."""

from collections.abc import Sequence

import gunpowder as gp
import numpy as np

from neuroadda.config import Zyx
from neuroadda.training.augment_config import AugmentConfig
from neuroadda.training.config import TrainConfig
from neuroadda.training.sample import LABELS, MASK, RAW, UNLINKED, RandomSample, Sample

AFFS, AFFS_MASK = gp.ArrayKey("AFFS"), gp.ArrayKey("AFFS_MASK")


def make_pipeline(config: TrainConfig, samples: Sequence[Sample]) -> gp.Pipeline:
    """Return the pipeline (not built yet) that serves what `make_request` asks for."""
    sources = tuple(RandomSample(sample, config.output_shape_vx) for sample in samples)
    pipeline = sources + gp.RandomProvider(probabilities=[s.config.weight for s in samples])
    for node in _augmentations(config.augment, config.output_shape_vx):
        pipeline += node
    pipeline += gp.AddAffinities(
        config.taught_offsets, LABELS, AFFS, labels_mask=MASK, affinities_mask=AFFS_MASK, dtype=np.uint8
    )
    if not all(sample.config.linked for sample in samples):
        pipeline += _MaskAcrossSections(config.taught_offsets)
    return pipeline + gp.IntensityScaleShift(RAW, 2, -1)


def make_request(config: TrainConfig, seed: int, padded: bool = False) -> gp.BatchRequest:
    """Return the request for one sample of a batch; the same seed gives the same sample; without context if `padded`."""
    request = gp.BatchRequest(random_seed=seed)
    for key, shape in _shapes(config, padded).items():
        request.add(key, shape)
    return request


class _MaskAcrossSections(gp.BatchFilter):
    """Masks affinities between sections where labels are not linked across them."""

    def __init__(self, offsets: Sequence[Zyx]) -> None:
        self.across = [channel for channel, (z, _, _) in enumerate(offsets) if z]

    def setup(self) -> None:
        self.updates(AFFS_MASK, self.spec[AFFS_MASK])

    def prepare(self, request: gp.BatchRequest) -> gp.BatchRequest:
        needed = gp.BatchRequest()
        for key in (MASK, AFFS_MASK):
            needed[key] = gp.ArraySpec(roi=request[AFFS_MASK].roi)
        return needed

    def process(self, batch: gp.Batch, request: gp.BatchRequest) -> None:
        unlinked = batch[MASK].crop(batch[AFFS_MASK].spec.roi).data == UNLINKED
        for channel in self.across:
            batch[AFFS_MASK].data[channel][unlinked] = 0


class _Gamma(gp.BatchFilter):
    """Raises raw in 0..1 to a random power, which changes dark and bright voxels differently."""

    def __init__(self, largest: float, sectionwise: bool) -> None:
        self.largest, self.sectionwise = largest, sectionwise

    def process(self, batch: gp.Batch, request: gp.BatchRequest) -> None:
        raw = batch[RAW]
        count = raw.data.shape[0] if self.sectionwise else 1
        exponents = np.random.uniform(-1, 1, (count, 1, 1)).astype(np.float32)  # noqa: NPY002 # gunpowder seeds it
        raw.data = np.clip(raw.data, 0, 1) ** np.float32(self.largest) ** exponents


def _shapes(config: TrainConfig, padded: bool) -> dict[gp.ArrayKey, Zyx]:
    output = config.output_shape_vx
    source = output if padded else config.architecture.input_shape_vx(output)
    return {RAW: source, LABELS: output, AFFS: output, AFFS_MASK: output}


def _augmentations(augment: AugmentConfig, shape_vx: Zyx) -> list[gp.BatchFilter]:
    # geometry first; intensities stay in 0..1 until the end, where gunpowder's nodes expect them
    axes = {"none": [], "yx": [1, 2], "zyx": [0, 1, 2]}[augment.transpose]
    nodes = [gp.SimpleAugment(transpose_only=axes)]
    if augment.elastic or augment.misalign:
        # not DeformAugment, which its deprecation warning recommends: that one magnifies and shifts raw against labels;
        # and with fewer than two subsampled points along an axis ElasticAugment collapses that axis to its first voxel
        subsample = max(1, min(8, min(shape_vx) // 2))
        nodes.append(
            gp.ElasticAugment(
                control_point_spacing=augment.elastic_spacing_vx,
                jitter_sigma=augment.elastic_jitter_vx,
                rotation_interval=(0, np.pi / 2),
                scale_interval=augment.elastic_scale,
                prob_slip=augment.misalign,
                prob_shift=augment.misalign,
                max_misalign=augment.max_misalign_vx,
                subsample=subsample,
                p=augment.elastic,
            )
        )
    slab = (1, -1, -1) if augment.sectionwise else (-1, -1, -1)
    contrast, brightness = augment.contrast, augment.brightness
    if contrast or brightness:
        nodes.append(gp.IntensityAugment(RAW, 1 - contrast, 1 + contrast, -brightness, brightness, slab=slab))
    if augment.gamma > 1:
        nodes.append(_Gamma(augment.gamma, augment.sectionwise))
    if augment.missing or augment.low_contrast:
        nodes.append(gp.DefectAugment(RAW, augment.missing, augment.low_contrast, contrast_scale=0.3))
    if augment.noise:
        nodes.append(gp.NoiseAugment(RAW, var=augment.noise**2, p=0.5))
    return nodes
