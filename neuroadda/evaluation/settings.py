"""Ways to make segments of affinities, among which `neuroadda tune` chooses."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from neuroadda.backbones.network import NEAREST
from neuroadda.config import Config, Zyx
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments


class Setting(Config):
    """How fragments are found and how they merge; the threshold is chosen beside it."""

    fragments: Fragments
    agglomerate: Agglomerate

    def list_changes(self, other: "Setting") -> dict[str, Any]:
        """Return the keys that have other values than in another setting, such as ``{"fragments.boundary": 0.2}``."""
        parts = (("fragments", self.fragments, other.fragments), ("agglomerate", self.agglomerate, other.agglomerate))
        return {
            f"{name}.{key}": value
            for name, mine, theirs in parts
            for key, value in mine.model_dump(mode="json").items()
            if value != getattr(theirs, key)
        }

    def describe(self, other: "Setting") -> str:
        """Return in a few words what it has that another, the default, has not."""
        changes = self.list_changes(other)
        return ", ".join(f"{key.partition('.')[2]}={_show(value)}" for key, value in changes.items()) or "default"


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


FRAGMENTS = (
    Fragments(method="ascent"),
    Fragments(method="ascent", min_size_vx=400),
    Fragments(method="ascent", min_size_vx=3200),
    Fragments(method="ascent", high=0.99),
    Fragments(method="seeds"),
    Fragments(method="seeds", sections=True),
    Fragments(method="seeds", sections=False),
    Fragments(method="seeds", boundary=0.2),
    Fragments(method="seeds", boundary=0.5),
    Fragments(method="seeds", seed_distance_vx=4),
    Fragments(method="seeds", seed_distance_vx=8),
)
AGGLOMERATIONS = (
    Agglomerate(),
    Agglomerate(scoring="contraharmonic"),
    Agglomerate(scoring="quantile_90"),
    Agglomerate(scoring="quantile_90_root"),
)
CANDIDATES = tuple(product(FRAGMENTS, AGGLOMERATIONS))
"""What is tried beside the default; what each is worth: docs/scoring.md, docs/results/segmentation.md and ascent.md there."""


def list_settings(
    default: Setting,
    voxel_size_nm: tuple[float, ...],
    offsets: Sequence[Zyx] = NEAREST,
    candidates: Sequence[tuple[Fragments, Agglomerate]] = CANDIDATES,
) -> list[Setting]:
    """Return the default, which is the first, and the candidates that are others; equal fragments in a row.

    Parameters
    ----------
    voxel_size_nm, offsets
        They decide which are the same; see `Fragments.resolve`.
    """
    wanted = [default, *(Setting(fragments=found, agglomerate=merged) for found, merged in candidates)]
    groups: dict[Fragments, dict[Agglomerate, Setting]] = {}
    for one in wanted:
        group = groups.setdefault(one.fragments.resolve(voxel_size_nm, offsets), {})
        first = next(iter(group.values()), one)
        group.setdefault(one.agglomerate, one.model_copy(update={"fragments": first.fragments}))
    return [one for group in groups.values() for one in group.values()]
