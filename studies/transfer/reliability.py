"""How well the rows of the transfer study can tell sources apart, and what labels change."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import spearmanr, t

from studies.transfer.distances import sources_of
from studies.transfer.judgement import Study
from studies.transfer.study import GENERALIST, SCRATCH
from studies.transfer.zero_shot import read_zero_shot

SIMULATED = 20_000


def spread(study: Study) -> tuple[float, float]:
    """Return two standard deviations of log VOI: between sources of a case, and of one source between seeds.

    Sources of a case share the seeds' samples, so what a seed changes for all of them is left out.
    """
    between, within = [], []
    for target, n in study.cases:
        values = np.log([list(study.cells[target, source, n].values()) for source in sources_of(target)])
        values -= values.mean(0)
        means = values.mean(1)
        sources, seeds = values.shape
        residual = ((values - means[:, None]) ** 2).sum() / ((sources - 1) * (seeds - 1))
        within.append(residual)
        between.append(means.var(ddof=1) - residual / seeds)
    return float(np.sqrt(max(np.mean(between), 0))), float(np.sqrt(np.mean(within)))


def simulate_ceiling(study: Study) -> float:
    """Return how often a choice by the true means would be the best one by the means of the seeds that were run.

    True means and means of seeds are drawn from normal distributions with the standard deviations of `spread`.
    """
    between, within = spread(study)
    random, hits = np.random.default_rng(0), []
    for target, n in study.cases:
        seeds = len(study.cells[target, SCRATCH, n])
        true = random.normal(0, between, (SIMULATED, len(sources_of(target))))
        seen = true + random.normal(0, within / np.sqrt(seeds), true.shape)
        hits.append(float((true.argmin(1) == seen.argmin(1)).mean()))
    return float(np.mean(hits))


def compare_trainings(study: Study) -> float:
    """Return Spearman's correlation of the order of sources between the first and the second training of the networks."""
    values = []
    for target, n in study.cases:
        orders = []
        for training in (0, 1):
            seeds = [s for s in study.cells[target, SCRATCH, n] if study.pretrainings[target, n, s] == {training}]
            orders.append([np.mean([study.cells[target, x, n][s] for s in seeds]) for x in sources_of(target)])
        values.append(spearmanr(*orders).statistic)
    return float(np.nanmean(values))


def compare_zero_shot(study: Study, training: int = 1) -> float:
    """Return Spearman's correlation of VOI on the labelled samples before fine-tuning with VOI after it.

    Only seeds whose sources are of the training that was scored count.
    """
    known, values = read_zero_shot(), []
    for target, n in study.cases:
        seeds = [s for s in study.cells[target, SCRATCH, n] if study.pretrainings[target, n, s] == {training}]
        before = [np.mean([known[target, x, n, s] for s in seeds]) for x in sources_of(target)]
        after = [np.mean([study.cells[target, x, n][s] for s in seeds]) for x in sources_of(target)]
        values.append(spearmanr(before, after).statistic)
    return float(np.nanmean(values))


def reduction(study: Study, target: str, source: str, against: str, n: int) -> tuple[float, float]:
    """Return by how many percent VOI is lower than another source's, seeds paired, and half of its 95 % t-interval."""
    ours, theirs = study.cells[target, source, n], study.cells[target, against, n]
    both = sorted(set(ours) & set(theirs))
    values = [100 * (1 - ours[s] / theirs[s]) for s in both]
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(half)


def gain_of_boxes(study: Study, sources: Mapping[str, str], few: int, many: int) -> float:
    """Return by how many percent VOI is lower with many boxes than with few, in the mean over targets."""
    falls = [
        1 - study.mean(target, source, many) / study.mean(target, source, few)
        for target, source in sources.items()
        if {(target, few), (target, many)} <= set(study.cases)
    ]
    return 100 * float(np.mean(falls))


def regret_of_generalist(study: Study) -> float:
    """Return by how many percent the generalist's VOI is above that of the best source, in the mean over cases."""
    values = [
        study.mean(target, GENERALIST, n) / min(study.mean(target, s, n) for s in sources_of(target)) - 1
        for target, n in study.cases
    ]
    return 100 * float(np.mean(values))


def count_better(study: Study) -> tuple[int, int]:
    """Return in how many cases of target, source and n VOI is lower than from scratch, and of how many."""
    better = [
        study.mean(target, source, n) < study.mean(target, SCRATCH, n)
        for target, n in study.cases
        for source in sources_of(target)
    ]
    return sum(better), len(better)
