"""All tables of the transfer study: the page docs/results/transfer_tables.md."""

from collections.abc import Mapping
from functools import partial

from benchmarks.tables import to_markdown
from studies.pages import RESULTS, items, paragraph, show_interval, write_page
from studies.rows import read_table
from studies.single_sections import PIXEL_NM, SOURCES
from studies.transfer.choices import (
    DEFAULT,
    NESTED,
    ROWS,
    THRESHOLDS,
    ChoiceRow,
    draw_again,
    judge_choice,
    read_nearest,
)
from studies.transfer.distances import PATCHES, sources_of
from studies.transfer.judgement import Study, best_on_other_seeds, judge_by_seed, pick_evenly, same_species
from studies.transfer.reliability import (
    compare_trainings,
    compare_zero_shot,
    count_better,
    reduction,
    regret_of_generalist,
    simulate_ceiling,
    spread,
)
from studies.transfer.study import (
    FINE_TUNE,
    FROM_SCRATCH,
    GENERALIST,
    LONG_SCRATCH,
    LONG_SCRATCH_SAMPLES,
    NETWORK,
    PRETRAIN,
    SAMPLE_PX,
    SAMPLES,
    SCRATCH,
)
from studies.transfer.zero_shot import read_zero_shot

RANDOM, SPECIES = "any source, at random", "same species, else any"
TITLES = {"chosen": "the threshold chosen on the samples", "best": "the best threshold"}
TRAINING = 1  # of the networks: the one that was scored before fine-tuning

Nearest = Mapping[str, str]


def judge_choices(threshold: str, study: Study) -> dict[str, ChoiceRow]:
    """Return every way to choose a source by its name: by a distance, from the table; without one, judged here."""
    found = {row.choice: row for row in read_table(ROWS, ChoiceRow) if row.threshold == threshold}
    draws = draw_again(study)
    ways = {SPECIES: pick_evenly(same_species), RANDOM: pick_evenly(sources_of)}
    ways |= {f"always {x}, else any": pick_evenly(lambda target, x=x: [x] if x != target else []) for x in SOURCES}
    return found | {name: judge_choice(threshold, name, study, draws, picks) for name, picks in ways.items()}


def write_tables(studies: Mapping[str, Study], choices: Mapping[str, Mapping[str, ChoiceRow]]) -> None:
    """Write the page."""
    parts = [
        "# Which backbone transfers best? All tables",
        paragraph("The conclusion is in [transfer.md](transfer.md)."),
    ]
    parts += [_tell_setting(), _tell_reading()]
    nearest = read_nearest()
    for threshold in THRESHOLDS:
        study = studies[threshold]
        parts += [f"## At {TITLES[threshold]}", "### Which distance predicts it", table_of_choices(choices[threshold])]
        parts += ["### How well sources can be told apart", table_of_reliability(study)]
        parts += ["### Every seed a case of its own", table_by_seed(study, nearest)]
        parts += [f"### Misses of {DEFAULT}", table_of_misses(study, nearest)]
        parts += [f"### Against scratch, n = {LONG_SCRATCH_SAMPLES}", table_against_scratch(study, nearest)]
        parts += ["### Mean VOI", table_of_voi(study)]
    parts += [
        "## Distance and VOI, at the best threshold",
        "![distance and transferred VOI](pictures/transfer_distances.png)",
    ]
    write_page(RESULTS / "transfer_tables.md", parts)


def _tell_setting() -> str:
    side, batch = SAMPLE_PX * PIXEL_NM / 1000, FINE_TUNE["output_shape_vx"][-1]
    sentences = [
        f"A network for single sections (2-D, {' - '.join(map(str, NETWORK['features']))} features) is trained on each source's "
        f"whole train part ({PRETRAIN['iterations']} iterations). It is then fine-tuned on n labelled samples of a target, each "
        f"one section of {SAMPLE_PX} x {SAMPLE_PX} pixels of {PIXEL_NM:g} nm ({side:.2f} µm wide), for {FINE_TUNE['iterations']} "
        f"iterations of {FINE_TUNE['batch_size']} x {batch} x {batch} pixels. VOI, in nats, is of watershed and agglomeration in "
        "each section of the target's test part.",
        f"Scratch: the same network and iterations from random weights, at a learning rate of its own "
        f"({FROM_SCRATCH['learning_rate']:g}; fine-tuning {FINE_TUNE['learning_rate']:g}). Both were chosen in one pilot on "
        "train parts, mouse cortex to larva L1.",
        "Generalist: trained on all sources but the target's domain. It is not one of the sources that are chosen between.",
        "A seed draws samples and batches; the sources of a target are compared on the same samples. Each source was trained "
        "twice, from other random weights and batches. The first training is fine-tuned with the lower seeds, the second with "
        "the others (column `pretraining` of the rows); distances are of the second.",
        "Train and test sections of fly_brain_sstem are neighbours.",
        f"A distance is between features of {PATCHES.count} patches of each train part, raw alone. *Own* is by the source's "
        "network, *reference* by the generalist that never saw the target. The distances themselves were not kept: their rows "
        "are the table of that run, as it was rounded for this page.",
        "A case is a target and an n. Hit rate: the share of cases in which the chosen source has the lowest mean VOI of all "
        "sources. Regret: by how many percent its VOI is above the best's. The best is the lowest of noisy means, so even a "
        "perfect choice would show some regret.",
        "Intervals are 95 % bootstrap over targets and seeds. The way that looks best was found on the very cases that it is "
        f"judged on, so its figure is too good. *{NESTED}* is what is left if the MMD is chosen on other targets than the one "
        "that it is judged on.",
        "Everything is given twice. The threshold that is best on the test part favours every source alike, and compares "
        "networks. The one that was best on the n samples is what a user gets; if n is 1, a badly chosen threshold is a large "
        "part of VOI.",
    ]
    return items("How it was made", sentences)


def _tell_reading() -> str:
    sentences = [
        f"*Room* says by how much the best of all runs with {max(SAMPLES)} samples is below scratch with {LONG_SCRATCH_SAMPLES}: "
        "no choice of a source could do better. Where it is near what the nearest source reaches, little is left to gain.",
        "Why a near source is not the best one is not known. A guess: MMD sees how images look, and what transfers is where "
        "boundaries are.",
    ]
    return items("How to read it", sentences)


def table_of_choices(choices: Mapping[str, ChoiceRow]) -> str:
    """Return the rows of every way to choose a source, the least regret first."""
    rows = [
        [
            row.choice,
            show_interval(row.hit, row.hit_low, row.hit_high),
            show_interval(row.near, row.near_low, row.near_high),
            show_interval(row.regret, row.regret_low, row.regret_high, 1),
            show_interval(row.correlation, row.correlation_low, row.correlation_high),
        ]
        for row in sorted(choices.values(), key=lambda row: (row.regret, row.choice))
    ]
    return to_markdown(["choice of the source", "hit rate", "within 2 %", "regret, % VOI", "Spearman"], rows)


def table_of_reliability(study: Study) -> str:
    """Return what bounds every figure of the table of choices."""
    between, within = spread(study)
    better, count = count_better(study)
    rows = [
        ["standard deviation of log VOI between the sources of a case", f"{between:.3f}"],
        ["the same of one source between seeds", f"{within:.3f}"],
        ["hit rate of a choice by the true means, simulated with these two", f"{simulate_ceiling(study):.2f}"],
        ["Spearman, order of sources by the first and by the second training", f"{compare_trainings(study):.2f}"],
        ["Spearman, VOI on the samples before and VOI after fine-tuning", f"{compare_zero_shot(study, TRAINING):.2f}"],
        ["regret of the generalist, % VOI", f"{regret_of_generalist(study):.1f}"],
        ["cases (target, source, n) with a lower mean VOI than scratch", f"{better} of {count}"],
    ]
    return to_markdown(["what", "value"], rows)


def table_by_seed(study: Study, near: Nearest) -> str:
    """Return how well a source is chosen if every seed is a case of its own: by distance, other seeds' runs, or the labels."""
    known = read_zero_shot()

    def nearest(target: str, n: int, seed: int) -> str:
        return near[target]

    def best_before(target: str, n: int, seed: int) -> str:
        return min(sources_of(target), key=lambda s: known[target, s, n, seed])

    def is_known(target: str, n: int, seed: int) -> bool:
        return study.pretrainings[target, n, seed] == {TRAINING} and all(
            (target, s, n, seed) in known for s in sources_of(target)
        )

    ways = [
        ("the best on the other seeds", judge_by_seed(study, partial(best_on_other_seeds, study))),
        (f"the nearest by {DEFAULT}", judge_by_seed(study, nearest)),
        (f"the nearest, where the next line is known (training {TRAINING})", judge_by_seed(study, nearest, is_known)),
        ("the best on the n samples before it is fine-tuned", judge_by_seed(study, best_before, is_known)),
    ]
    rows = [[name, count, f"{hit:.2f}", f"{regret:.1f}"] for name, (hit, regret, count) in ways]
    return to_markdown(["choice", "cases", "hit rate", "regret, % VOI"], rows)


def table_of_misses(study: Study, near: Nearest) -> str:
    """Return one row for every case in which the nearest source was not the best."""
    rows = []
    for target, n in study.cases:
        voi = {s: study.mean(target, s, n) for s in sources_of(target)}
        nearest, best = near[target], min(voi, key=lambda s: voi[s])
        if nearest != best:
            a, b = voi[nearest], voi[best]
            rows.append([target, n, nearest, f"{a:.3f}", best, f"{b:.3f}", f"{100 * (a / b - 1):.1f}"])
    return to_markdown(["target", "n", "nearest", "its VOI", "best", "its VOI", "regret, %"], rows)


def table_against_scratch(study: Study, near: Nearest, n: int = LONG_SCRATCH_SAMPLES) -> str:
    """Return VOI and its reduction against scratch for every target."""
    head = ["target", "scratch", "nearest source", "VOI", "lower by, %", "best source", "lower by, %"]
    head += ["generalist, lower by %", "room, %", "scratch 3x longer", "nearest against that, lower by %"]
    rows = []
    for target in [case[0] for case in study.cases if case[1] == n]:
        nearest, best = near[target], min(sources_of(target), key=lambda s: study.mean(target, s, n))
        floor = min(study.mean(target, s, max(SAMPLES)) for s in (*sources_of(target), GENERALIST))
        scratch, longer = (f"{study.mean(target, s, n):.3f}" for s in (SCRATCH, LONG_SCRATCH))
        room = 100 * (1 - floor / study.mean(target, SCRATCH, n))
        row = [target, scratch, nearest, f"{study.mean(target, nearest, n):.3f}"]
        row += [
            show_reduction(study, target, nearest, SCRATCH, n),
            best,
            show_reduction(study, target, best, SCRATCH, n),
        ]
        row += [show_reduction(study, target, GENERALIST, SCRATCH, n), f"{room:.0f}", longer]
        rows.append([*row, show_reduction(study, target, nearest, LONG_SCRATCH, n)])
    return to_markdown(head, rows)


def show_reduction(study: Study, target: str, source: str, against: str, n: int, digits: int = 0) -> str:
    """Return a reduction (percent) with half of its 95 % interval."""
    value, half = reduction(study, target, source, against, n)
    return f"{value:.{digits}f} ± {half:.{digits}f}"


def table_of_voi(study: Study) -> str:
    """Return the mean VOI of every target and source, by number of samples."""
    names = [*SOURCES, GENERALIST, SCRATCH]
    rows = []
    for target, n in study.cases:
        shown = [f"{study.mean(target, s, n):.3f}" if (target, s, n) in study.cells else "" for s in names]
        rows.append([target, n, len(study.cells[target, SCRATCH, n]), *shown])
    return to_markdown(["target", "n", "seeds", *names], rows)
