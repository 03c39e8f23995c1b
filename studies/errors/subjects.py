"""A labelled part, segmented as a run would with fragments by seeds, and its candidates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroadda.backbones.card import load_card
from neuroadda.proofreading.candidates import Candidates, find_candidates
from neuroadda.proofreading.likelihood import LIKELIHOOD, Likelihood
from neuroadda.proofreading.regions import Regions, gather_regions
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.components import Numbering
from neuroadda.segmentation.edges import collect_edges
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.whole import agglomerate_array
from neuroadda.zoo.finding import open_zoo
from studies.errors.oracle import Proofread, Truth
from studies.segmentation.parts import Part, predict_parts

ALL = 10**9


@dataclass(frozen=True)
class Subject:
    """A part with everything that is known of it.

    Attributes
    ----------
    region
        int64, by fragment id.
    """

    volume: str
    regions: Regions
    truth: Truth
    region: np.ndarray

    def start(self) -> Proofread:
        """Return the segmentation before any decision."""
        return Proofread(self.regions, self.truth, self.region)

    def find(self, likelihood: Likelihood = LIKELIHOOD) -> Candidates:
        """Return all candidates in the order of their expected gain."""
        return find_candidates(self.regions, ALL, likelihood)

    def judge(self, candidates: Candidates) -> np.ndarray:
        """Return bool: which are errors of the segmentation as it is before any decision."""
        state = self.start()
        sides = (state.look(candidates, i) for i in range(len(candidates.a)))
        return np.array([s is not None and state.is_error(candidates, i, s) for i, s in enumerate(sides)], bool)


def load_subjects(volume: str, folder: Path) -> tuple[Subject, Subject]:
    """Return the validation and the test part of a volume, predicted by its own backbone of the zoo."""
    threshold = float(load_card(open_zoo().folder(volume)).metrics["threshold"])
    validation, test = (_make(volume, part, threshold) for part in predict_parts(volume, folder))
    return validation, test


def _make(volume: str, part: Part, threshold: float) -> Subject:
    agglomerated = agglomerate_array(part.affs, part.voxel_size_nm, Fragments(method="seeds"), Agglomerate())
    fragments, lut = agglomerated.fragments, agglomerated.lut(threshold)
    count = len(lut) - 1
    at_border = np.zeros(count + 1, bool)
    for axis in range(3):
        at_border[np.unique(fragments.take([0, -1], axis=axis))] = True
    regions = gather_regions(
        Numbering(np.array([0, count]), max(count, 1)),
        lut[1:],
        np.bincount(fragments.ravel().astype(np.int64), minlength=count + 1)[1:],
        at_border[1:],
        [vars(agglomerated.merges)],
        iter([collect_edges(part.affs, fragments)]),
        threshold,
    )
    region = np.r_[0, regions.region]
    return Subject(volume, regions, Truth.of(fragments, region, part.labels), region)
