"""Sources ranked for a target by evidence that needs no labels: consistency, MMD^2, and what each source is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from neuroadda.config import Zyx
from neuroadda.domains.comparison import Comparison, MmdConfig, to_mmd
from neuroadda.domains.consistency import Consistency, Dimensions
from neuroadda.domains.patches import PatchConfig
from neuroadda.intervals import half_width, lower_end

By = Literal["both", "consistency", "mmd"]
FEWEST, MOST = 0.02, 0.6


class RankPatches(PatchConfig):
    """Which patches of the target are embedded: `PatchConfig` with fewer patches by default."""

    count: Annotated[int, Field(ge=2, le=10**7)] = 32


class RankConfig(MmdConfig):
    """How sources are ranked for a target.

    The defaults are what docs/results/ranking.md supports.

    Attributes
    ----------
    by
        What ranks: the "consistency" of the boundaries that a source predicts, the "mmd" of features, as in the paper, or "both":
        consistency less the MMD (the root of MMD^2). A source without stored features then counts as far as the others' median.
        Where fewer than four patches of one source fit side by side into a section, consistency alone ranks.
    match_raw
        Whether each source's own network sees the target's patches with the mean and standard deviation of the raw that it was
        trained on, where they are known: MMD^2 then does not tell brightness and contrast apart. The paper does not do this.
    dimensions
        Whether the boundaries are compared in "3d", or in "2d" within sections. Sources that predict nothing across sections
        are judged within sections anyway.
    crops : crops
        How many crops are predicted by each source.
    crop_vx
        Shape of a crop; by default 16 x 96 x 96, and 48 x 48 x 48 where voxels are isotropic.
    patches
        Which patches of the target are embedded. Crops lie where patches may.
    """

    by: By = "both"
    match_raw: bool = True
    dimensions: Dimensions = "3d"
    crops: Annotated[int, Field(ge=2, le=1000)] = 3
    crop_vx: Zyx | None = None
    patches: RankPatches = Field(default_factory=RankPatches)


@dataclass(frozen=True)
class Source:
    """What is known of a source itself.

    Attributes
    ----------
    name
        In the zoo.
    voxel_size_nm
        zyx, of its training.
    far_in_size
        Whether that is far from the target's.
    licence
        Of its training data, several separated by semicolons: a licence may hold commas.
    """

    name: str
    voxel_size_nm: tuple[float, ...]
    far_in_size: bool
    licence: str


@dataclass(frozen=True)
class Rank:
    """A source and the evidence for it.

    Attributes
    ----------
    name, voxel_size_nm, far_in_size, licence
        Of the `Source`.
    consistency
        From 0 to 1, of all crops together; see `neuroadda.domains.consistency`.
    consistency_interval
        Its 95 % interval, by the spread of crops.
    boundary
        Share of the crops' voxels where it sees a boundary.
    guard
        Why its consistency says nothing, such as "sees no boundary"; empty where it does.
    mmd2, mmd2_interval
        MMD^2 of features, and its interval by bootstrap over spatial blocks; None of a source without stored features, and of all
        where consistency alone ranks.
    p
        Of the permutation test of spatial blocks: that both are of one domain.
    frechet
        Frechet distance of the same features.
    tied
        Whether it is as good as the first, as far as can be told: the interval of the difference in what ranks includes 0.
    why
        One sentence for people.
    """

    name: str
    voxel_size_nm: tuple[float, ...]
    far_in_size: bool
    licence: str
    consistency: float
    consistency_interval: tuple[float, float]
    boundary: float
    guard: str
    mmd2: float | None
    mmd2_interval: tuple[float, float] | None
    p: float | None
    frechet: float | None
    tied: bool
    why: str


@dataclass(frozen=True)
class Ranking:
    """Sources, the best first.

    Attributes
    ----------
    by
        What was to rank them. Of "both", consistency alone did where `too_large` names any, or no source has features.
    rows
        One or more.
    left_out
        Entries of the zoo that could not be ranked: without stored features, where MMD^2 ranks.
    too_large
        Entries of whose patches fewer than four fit side by side into a section: for that, consistency alone ranked.
    """

    by: By
    rows: tuple[Rank, ...]
    left_out: tuple[str, ...] = ()
    too_large: tuple[str, ...] = ()

    @property
    def winner(self) -> str:
        """The first."""
        return self.rows[0].name

    def to_data(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        rows = [asdict(row) for row in self.rows]
        told = {"left_out": self.left_out, "too_large": self.too_large}
        data = {"winner": self.winner, "by": self.by, **told, "sources": rows}
        return dict(json.loads(json.dumps(data)))


def rank_sources(
    sources: Sequence[Source],
    consistencies: Mapping[str, Consistency],
    comparisons: Mapping[str, Comparison],
    config: RankConfig,
) -> Ranking:
    """Rank sources by their evidence.

    Parameters
    ----------
    consistencies
        Of all sources, on the same crops.
    comparisons
        Of those with stored features, at the same places. Where MMD^2 ranks, the others are left out. Without any, consistency
        alone ranks.
    """
    by_mmd = config.by == "mmd"
    kept = [source for source in sources if source.name in comparisons or not by_mmd]
    ranked_by: By = "consistency" if config.by == "both" and not comparisons else config.by
    guards = {source.name: guard(consistencies[source.name]) for source in kept}
    mmd = find_mmd([source.name for source in kept], {name: one.mmd2 for name, one in comparisons.items()})

    def order(source: Source) -> tuple[bool, float, str]:
        if by_mmd:
            return False, comparisons[source.name].mmd2, source.name
        far = mmd[source.name] if ranked_by == "both" else 0.0
        return bool(guards[source.name]), far - consistencies[source.name].overlap, source.name

    kept.sort(key=order)
    first, rows = kept[0].name, []

    def measure_lead(name: str) -> Iterator[tuple[float, float]]:
        """Yield by how much the first is better by each evidence, and the lower end of its interval."""
        if not by_mmd:
            differences = consistencies[first].values - consistencies[name].values
            lead = float(differences.mean())
            yield lead, lead - half_width(differences, config.level)
        if ranked_by != "consistency":
            if first in comparisons and name in comparisons:
                yield comparisons[first].gap(comparisons[name], config.level)
            else:
                yield mmd[name] - mmd[first], mmd[name] - mmd[first]

    def is_tied(name: str) -> bool:
        return (by_mmd or not guards[name]) and lower_end(measure_lead(name)) <= 0

    tied = [source.name for source in kept[1:] if is_tied(source.name)]
    for place, source in enumerate(kept):
        one, compared = consistencies[source.name], comparisons.get(source.name)
        rows.append(
            Rank(
                **asdict(source),
                consistency=one.overlap,
                consistency_interval=interval(one.values, config.level),
                boundary=float(one.boundary.mean()),
                guard=guards[source.name],
                mmd2=None if compared is None else compared.mmd2,
                mmd2_interval=None if compared is None else compared.interval(config.level),
                p=None if compared is None else compared.p,
                frechet=None if compared is None else compared.frechet,
                tied=source.name in tied or (not place and bool(tied)),
                why=_explain(place, source, first, tied, guards[source.name], ranked_by),
            )
        )
    left_out = tuple(source.name for source in sources if source not in kept)
    return Ranking(config.by, tuple(rows), left_out)


def guard(found: Consistency) -> str:
    """Return why consistent boundaries say nothing: there are none, or nothing else; empty where they do say something."""
    share = float(found.boundary.mean())
    if share < FEWEST:
        return f"sees boundary in {100 * share:.2g} % of the voxels: too little to judge"
    if share > MOST:
        return f"sees boundary in {100 * share:.0f} % of the voxels: too much to be tissue"
    return ""


def interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Return Student's interval of a mean, cut to 0 and 1."""
    mean, half = float(values.mean()), half_width(values, level)
    return max(0.0, mean - half), min(1.0, mean + half)


def find_mmd(names: Sequence[str], mmd2: Mapping[str, float]) -> dict[str, float]:
    """Return the MMD of every source; of one without MMD^2, the others' median."""
    known = {name: float(to_mmd(mmd2[name])) for name in names if name in mmd2}
    median = float(np.median(list(known.values()))) if known else 0.0
    return {name: known.get(name, median) for name in names}


BEST = {"both": "best by consistency and MMD^2 together", "consistency": "most consistent", "mmd": "nearest"}
WORSE = {"both": "behind", "consistency": "less consistent than", "mmd": "farther than"}


def _explain(place: int, source: Source, first: str, tied: Sequence[str], guarded: str, by: By) -> str:
    if guarded and by != "mmd":
        why = guarded
    elif place == 0:
        why = f"{BEST[by]}, but tied with {', '.join(tied)}" if tied else BEST[by]
    else:
        why = f"{'tied with' if source.name in tied else WORSE[by]} {first}"
    return f"{why}; learned at another voxel size" if source.far_in_size else why
