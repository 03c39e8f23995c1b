"""Sources ranked for a target by MMD^2 of their features: how far, how surely, whether near at all, and why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from neuroadda.config import Config
from neuroadda.domains.baselines import frechet_distance
from neuroadda.domains.inference import bootstrap_mmd2, percentile_interval, permutation_test
from neuroadda.domains.mmd import Bandwidth, choose_bandwidths, mmd2
from neuroadda.domains.patches import PatchConfig
from neuroadda.errors import UserError
from neuroadda.zoo.embeddings import Embedding, NetworkRole, Pooling, check_comparable


class RankConfig(Config):
    """How sources are ranked for a target.

    The defaults are the best of docs/results/transfer.md. "reference" embeds the target once, not once an entry: it is a tenth of
    the work, and was worse with both of the networks that were tried.

    Attributes
    ----------
    network
        Which network's features are compared: each source's "own", or for all a common "reference", the zoo's
        generalist.
    pooling
        How the features of a patch become one vector.
    bandwidth
        Of the kernel: the "median" distance in the pooled sample, or "multi": the mean of kernels of a quarter to four
        times that.
    unbiased
        The unbiased estimator of MMD^2 between spatial blocks, or the biased one of all patches; see
        `neuroadda.domains.mmd.mmd2`.
    patches
        Which patches of the target.
    permutations, resamples, level
        Of the permutation test, of the bootstrap, and the confidence of its intervals.
    seed
        Of all that.
    far
        MMD^2 above which no source counts as near. By default that is measured in the zoo, see `measure_far`.
    """

    network: NetworkRole = "own"
    pooling: Pooling = "max"
    bandwidth: Bandwidth = "multi"
    unbiased: bool = True
    patches: PatchConfig = Field(default_factory=PatchConfig)
    permutations: Annotated[int, Field(gt=0, le=10**7)] = 1000
    resamples: Annotated[int, Field(gt=0, le=10**7)] = 2000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    seed: int = 0
    far: float | None = None


@dataclass(frozen=True)
class Rank:
    """How far a source is from the target.

    Attributes
    ----------
    name
        Of the source.
    mmd2, low, high
        MMD^2 and its interval by bootstrap over spatial blocks.
    p
        Of the permutation test of spatial blocks: that both are of one domain.
    frechet
        Frechet distance of the same features, for comparison.
    held
        What was held against `Ranking.far`: MMD^2, by the reference network unless `RankConfig.far` is given. None where
        that is not known.
    tied
        Whether it is as near as the nearest, as far as can be told: the interval of the difference includes 0.
    near
        Whether it is near enough to be worth starting from.
    why
        One sentence for people.
    """

    name: str
    mmd2: float
    low: float
    high: float
    p: float
    frechet: float
    held: float | None
    tied: bool
    near: bool
    why: str


@dataclass(frozen=True)
class Ranking:
    """Sources, nearest first, those that are not near after the others.

    Attributes
    ----------
    rows
        One or more.
    far
        The distance beyond which a source is not near; None where nothing is known of that, and all count as near.
    left_out
        Entries of the zoo without a stored embedding, that could not be ranked.
    """

    rows: tuple[Rank, ...]
    far: float | None
    left_out: tuple[str, ...] = ()

    @property
    def winner(self) -> str | None:
        """The nearest source, None where none is near."""
        return next((row.name for row in self.rows if row.near), None)

    def to_data(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        rows = [asdict(row) for row in self.rows]
        return {"winner": self.winner, "far": self.far, "left_out": list(self.left_out), "sources": rows}


def rank_embeddings(
    targets: Mapping[str, Embedding],
    sources: Mapping[str, Embedding],
    config: RankConfig,
    target_references: Mapping[str, Embedding] | None = None,
    references: Mapping[str, Embedding] | None = None,
) -> Ranking:
    """Rank sources for a target by features alone.

    Parameters
    ----------
    targets, sources
        For every source's name, the target's and the source's features, by the same network. Blocks of the target mean
        the same in all of `targets` (see `embed_volume`): differences between sources are taken on the same blocks.
    config
        Its `network` and `patches` are not looked at.
    target_references, references
        The same by one network common to all, to tell whether sources are near where `config.far` does not; sources
        without it count as near.

    Raises
    ------
    UserError
        If there is no source, embeddings are not comparable, or have fewer than three spatial blocks.
    """
    if not sources:
        raise UserError("there is no source to rank")
    compared = {name: _compare(targets[name], source, config, name) for name, source in sources.items()}
    held: dict[str, float] = {}
    far = config.far
    if far is not None:
        held = {name: one.mmd2 for name, one in compared.items()}
    elif references and target_references and (far := measure_far(references, config)) is not None:
        held = {name: estimate_mmd2(target_references[name], e, config) for name, e in references.items()}
        common = {e.network for e in references.values()}
        held |= {name: one.mmd2 for name, one in compared.items() if sources[name].network in common}
    near_ones = {name for name in compared if far is None or held.get(name, -math.inf) <= far}
    order = sorted(compared, key=lambda name: (name not in near_ones, compared[name].mmd2, name))
    first, nears = compared[order[0]], [name for name in order if name in near_ones]
    tied = [name for name in nears[1:] if first.is_tied(compared[name], config.level)]
    rows = []
    for name in order:
        one, near = compared[name], name in near_ones
        gap = (compared[nears[1]] if name == order[0] and len(nears) > 1 else one).mmd2 - first.mmd2
        why = _explain(name, nears, tied, gap) if near else _explain_far(config)
        is_tied = name in tied or (name == order[0] and bool(tied))
        low, high = one.interval(config.level)
        rows.append(Rank(name, one.mmd2, low, high, one.p, one.frechet, held.get(name), is_tied, near, why))
    return Ranking(tuple(rows), far)


def estimate_mmd2(target: Embedding, source: Embedding, config: RankConfig) -> float:
    """Return MMD^2 of two embeddings by the bandwidth and estimator of `config`."""
    x_blocks, y_blocks = (target.blocks, source.blocks) if config.unbiased else (None, None)
    return mmd2(
        target.features,
        source.features,
        choose_bandwidths(target.features, source.features, config.bandwidth, config.seed),
        config.unbiased,
        x_blocks=x_blocks,
        y_blocks=y_blocks,
        seed=config.seed,
    )


def measure_far(references: Mapping[str, Embedding], config: RankConfig) -> float | None:
    """Return how far the loneliest of some domains is from the domain nearest to it, all embedded by one network.

    A target farther than that from every source has less in common with any of them than the zoo's own domains have with
    each other. None of fewer than three domains, which say nothing about that.
    """
    names = sorted(references)
    if len(names) < 3:
        return None
    distances = np.full((len(names), len(names)), np.inf)
    for i, j in combinations(range(len(names)), 2):
        distances[i, j] = distances[j, i] = estimate_mmd2(references[names[i]], references[names[j]], config)
    return float(distances.min(axis=1).max())


@dataclass(frozen=True, eq=False)
class _Comparison:
    """A source and the target: `resamples` is float64 (R,), of `blocks` spatial blocks in the smaller sample."""

    mmd2: float
    resamples: np.ndarray
    blocks: int
    p: float
    frechet: float

    def interval(self, level: float) -> tuple[float, float]:
        return percentile_interval(self.resamples, self.blocks, level)

    def is_tied(self, other: "_Comparison", level: float) -> bool:
        """Whether `other`, not nearer, may be as near: resample by resample the target's blocks are the same."""
        low, _ = percentile_interval(other.resamples - self.resamples, min(self.blocks, other.blocks), level)
        return low <= 0


def _compare(target: Embedding, source: Embedding, config: RankConfig, name: str) -> _Comparison:
    check_comparable(target, source, name)
    x, y, x_blocks, y_blocks = target.features, source.features, target.blocks, source.blocks
    widths, seed = choose_bandwidths(target.features, source.features, config.bandwidth, config.seed), config.seed
    value = estimate_mmd2(target, source, config)
    # the bootstrap is of the unbiased estimator, whose resamples centre on it
    shift = 0.0 if config.unbiased else value - mmd2(x, y, widths, x_blocks=x_blocks, y_blocks=y_blocks, seed=seed)
    return _Comparison(
        value,
        bootstrap_mmd2(x, y, x_blocks, y_blocks, widths, resamples=config.resamples, seed=seed) + shift,
        min(len(np.unique(x_blocks)), len(np.unique(y_blocks))),
        permutation_test(
            x, y, widths, x_blocks=x_blocks, y_blocks=y_blocks, permutations=config.permutations, seed=seed
        ),
        frechet_distance(x, y),
    )


def _explain(name: str, order: Sequence[str], tied: Sequence[str], gap: float) -> str:
    if name != order[0]:
        tie = f"tied with {order[0]}: the difference's interval includes 0"
        return tie if name in tied else f"{gap:.3g} farther than {order[0]}"
    if tied:
        return f"nearest, but tied with {', '.join(tied)}: the difference's interval includes 0"
    return f"nearest; {gap:.3g} below the next, {order[1]}" if len(order) > 1 else "the only source that is near"


def _explain_far(config: RankConfig) -> str:
    if config.far is not None:
        return f"farther than {config.far:g}"
    return "farther than any of the zoo's domains is from the one nearest to it"
