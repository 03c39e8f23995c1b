"""Affinities with the truth beside them, in memory: predicted once, segmented and scored in as many ways as are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import fastremap
import numpy as np

from neuroadda.backbones.network import NEAREST
from neuroadda.config import Zyx
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.sweep import THRESHOLDS, Sweep, sweep_contingency
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.whole import Agglomerated, merge_fragments

Part = tuple[slice, slice, slice]
WHOLE: Part = (slice(None), slice(None), slice(None))


@dataclass(frozen=True)
class Labelled:
    """A labelled box.

    Attributes
    ----------
    affs
        uint8, czyx; the first three channels are the nearest neighbours. They are 0 where no tissue is.
    truth
        uint64, zyx; 0 is not scored.
    linked
        Whether a label has the same id in every section; if not, each section is scored by itself.
    tissue, data
        bool, zyx: where fragments may be, and where they stay once they are merged; everywhere if None.
    parts
        What is scored, each by itself, of the one segmentation of the box.
    offsets
        Of the affinities that the backbone predicts; it may know none across sections, and those in `affs` are then 0.
    """

    affs: np.ndarray
    truth: np.ndarray
    voxel_size_nm: tuple[float, ...]
    linked: bool = True
    tissue: np.ndarray | None = None
    data: np.ndarray | None = None
    parts: tuple[Part, ...] = (WHOLE,)
    offsets: tuple[Zyx, ...] = NEAREST

    def cut(self, sides: int) -> "Labelled":
        """Return the box with `sides` x `sides` pieces, in y and x, as parts."""
        rows, columns = (
            [slice(size * n // sides, size * (n + 1) // sides) for n in range(sides)] for size in self.truth.shape[1:]
        )
        return replace(self, parts=tuple((slice(None), row, column) for row in rows for column in columns))

    def find(self, fragments: Fragments) -> np.ndarray:
        """Return the fragments (uint64, zyx, from 1 on)."""
        resolved = fragments.resolve(self.voxel_size_nm, self.offsets)
        return find_fragments(self.affs, self.voxel_size_nm, resolved, self.tissue).astype(np.uint64)

    def sweep(
        self, fragments: Fragments | np.ndarray, agglomerate: Agglomerate, thresholds: Sequence[float] = THRESHOLDS
    ) -> list[Sweep]:
        """Return the scores of each part at every threshold; the box is segmented once.

        Parameters
        ----------
        fragments
            How they are found, or themselves as `find` returned them.
        """
        found = fragments if isinstance(fragments, np.ndarray) else self.find(fragments)
        whole = Agglomerated(found, merge_fragments(self.affs[:3], found, agglomerate))
        if self.data is not None:
            whole = replace(whole, fragments=whole.fragments * self.data)
        if not self.linked:
            return _sweep_sections(whole, self.truth, self.parts, thresholds)

        def lut_at(threshold: float) -> Callable[[np.ndarray], np.ndarray]:
            lut = whole.lut(threshold)
            return lambda ids: lut[ids.astype(np.int64)]

        luts = {threshold: lut_at(threshold) for threshold in thresholds}
        overlaps = (count_overlaps(whole.fragments[part], self.truth[part]) for part in self.parts)
        return [sweep_contingency(one, luts.__getitem__, thresholds) for one in overlaps]


def _sweep_sections(
    whole: Agglomerated, truth: np.ndarray, parts: Sequence[Part], thresholds: Sequence[float]
) -> list[Sweep]:
    """Score every section by itself: neither segments nor labels are the same in two of them."""
    truth = _split_sections(fastremap.renumber(truth, preserve_zero=True)[0])
    ascending = sorted(set(thresholds))
    segmented = (_split_sections(whole.segment(threshold)) for threshold in ascending)
    rows = [[score(count_overlaps(ids[part], truth[part])) for part in parts] for ids in segmented]
    return [Sweep(thresholds=tuple(ascending), scores=column) for column in zip(*rows, strict=True)]


def _split_sections(ids: np.ndarray) -> np.ndarray:
    """Return ids (zyx, from 1 on) as uint64, others in each section; 0 stays."""
    ids = ids.astype(np.uint64)
    first = np.arange(len(ids), dtype=np.uint64)[:, None, None] * ids.max(initial=0)
    return np.where(ids > 0, ids + first, 0)
