"""A labelled part, segmented as a run would with the defaults, and its candidates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from funlib.geometry import Roi

from neuroadda.backbones.card import load_card
from neuroadda.kernels.forest import number_roots, unite
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
from studies.segmentation.parts import DOMAINS, Part, predict_part, predict_parts

ALL = 10**9
MOUSE, MOUSE_TRAIN = "mouse_cortex_sssem", "mouse_cortex_ac4_train"
MOUSE_HELD_OUT = Roi((1440, 0, 0), (240, 6144, 6144))  # nm; its backbone was trained on the sections before
OTHER_MOUSE = "mouse_cortex_ac3_test"
VOLUMES = (*DOMAINS, OTHER_MOUSE)


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

    def reachable_voi(self) -> float:
        """Return the VOI (nats) that is reached when regions of one main label that touch are one segment, and others are not."""
        links, main = self.regions.links, self.truth.main_labels()
        same = (main[links.u] == main[links.v]) & (main[links.u] >= 0)
        parent = np.arange(len(main))
        unite(parent, links.u[same], links.v[same])
        return self.truth.voi(number_roots(parent))

    def judge(self, candidates: Candidates) -> np.ndarray:
        """Return bool: which are errors of the segmentation as it is before any decision."""
        state = self.start()
        sides = (state.look(candidates, i) for i in range(len(candidates.a)))
        return np.array([s is not None and state.is_error(candidates, i, s) for i, s in enumerate(sides)], bool)


def load_validation(volume: str, folder: Path) -> Subject:
    """Return what the training of a volume's own backbone of the zoo held out, predicted by it."""
    if volume == MOUSE:
        return _make(volume, predict_part(MOUSE_TRAIN, MOUSE, folder, MOUSE_HELD_OUT), MOUSE)
    return _make(volume, predict_parts(volume, folder)[0], volume)


def load_test(volume: str, folder: Path) -> Subject:
    """Return the test part of a volume, predicted by its own backbone of the zoo."""
    if volume == OTHER_MOUSE:
        return _make(volume, predict_part(volume, MOUSE, folder), MOUSE)
    return _make(volume, predict_parts(volume, folder)[1], volume)


def _make(volume: str, part: Part, backbone: str) -> Subject:
    threshold = float(load_card(open_zoo().folder(backbone)).metrics["threshold"])
    agglomerated = agglomerate_array(part.affs, part.voxel_size_nm, Fragments(), Agglomerate())
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
