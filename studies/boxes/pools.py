"""The boxes of a target that strategies choose from, as a source's network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.active.lattice import to_zyx
from neuroadda.active.pool import Candidates, find_candidates
from neuroadda.active.propose import ProposeConfig, embed_by, propose_boxes
from neuroadda.active.propose_config import cut_box
from neuroadda.active.strategies import ChooseConfig, Embed, choose
from neuroadda.config import Zyx, ZyxFloat, parse_config
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from studies.boxes.strategies import choose_covering, choose_typical
from studies.single_sections import PIXEL_NM
from studies.transfer.study import SAMPLE_PX

PART_VX: Zyx = (
    1,
    1,
    1,
)  # deepest features of a part: those of the study's network see 68 x 68 pixels, a part has 60 x 60
COVERAGE, TYPICAL = "coverage", "TypiClust"
ADDED = {COVERAGE: choose_covering, TYPICAL: choose_typical}
SHORTLIST = 1024  # boxes that the added strategies look at; those of the product look at its own default
STRATEGIES = ("random", "median+diverse", *ADDED, "median", "max", "min", "diverse")


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates with their scores, and what embeds boxes (`whole`) and parts of boxes; see `choose_covering`."""

    candidates: Candidates
    whole: Embed
    parts: Embed

    def choose(self, strategy: str, count: int, seed: int) -> list[dict[str, Any]]:
        """Return as many boxes (nm), or those that fit, as `choose` does."""
        if strategy in ADDED:
            config = ChooseConfig(count=count, seed=seed, shortlist=SHORTLIST)
            chosen, _ = ADDED[strategy](self.candidates, config, self.parts if strategy == COVERAGE else self.whole)
        else:
            config = parse_config(ChooseConfig, {"strategy": strategy, "count": count, "seed": seed}, strategy)
            chosen, _ = choose(self.candidates, config, self.whole)
        return [self.candidates.box(index).model_dump(mode="json") for index in chosen]


def open_pool(raw: str, backbone: Path, folder: Path) -> Pool:
    """Return the boxes of one section of a volume, scored by a network; what is in the folder already is not scored again."""
    volume = Volume.open(raw)
    data = {
        "raw": raw,
        "backbone": str(backbone),
        "output": str(folder),
        "shape_nm": [volume.voxel_size_nm[0], SAMPLE_PX * PIXEL_NM, SAMPLE_PX * PIXEL_NM],
        "predict": {"precision": "float32"},
        "choose": {"strategy": "random", "count": 1},
        "execution": {"launcher": "serial"},
    }
    config = parse_config(ProposeConfig, data, "boxes study")
    found = propose_boxes(config, overwrite=True)
    if found.grid is None:
        raise UserError("the scores of the boxes are gone", str(folder), "remove the folder")
    cells = to_zyx(n for n, _ in cut_box(config, volume, volume.roi))
    strides = to_zyx(max(1, n // 2) for n in cells)
    candidates = find_candidates(found.grid, cells, strides, within=found.proposals.roi)
    whole, parts = embed_by(str(backbone), volume), embed_by(str(backbone), volume, PART_VX)
    return Pool(candidates, remember(whole), remember(parts))


def remember(embed: Embed) -> Embed:
    """Return what embeds boxes of one shape, each only once."""
    known: dict[ZyxFloat, np.ndarray] = {}

    def look_up(boxes: Sequence[RoiConfig]) -> np.ndarray:
        new = [box for box in boxes if box.offset_nm not in known]
        if new:
            known.update(zip([box.offset_nm for box in new], embed(new), strict=True))
        return np.array([known[box.offset_nm] for box in boxes])

    return look_up
