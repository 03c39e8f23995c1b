"""Does the tree of domains follow phylogeny or imaging? The page, its figure and its tables, from the rows.

    python -m studies.confounds.report

Writes docs/results/domains.md, docs/results/domains_tables.md and docs/results/pictures/domains.png. Needs no backbone.
"""

import os
from collections import Counter

from benchmarks.tables import to_markdown
from studies.confounds.rows import TESTS, TREES
from studies.confounds.study import ASSUMED_WORM_NM, DOMAINS, DRAWN, FLY, MOUSE, WORM_NM
from studies.confounds.tables import (
    LEAST_P,
    LEVEL,
    OF_SPECIES,
    PERMUTATIONS,
    PHYLOGENY,
    Rows,
    tell_clades,
    tell_test,
    write_tables,
)
from studies.pages import PICTURES, RESULTS, ROOT, claim, day_of, items, paragraph, today, write_page
from studies.pictures import draw_causes
from studies.single_sections import SOURCES

TITLES = {"nothing": "volumes as they are", "both": "voxel size and contrast made alike"}


def tell_known(rows: Rows) -> str:
    """Return what the rows show."""
    count, networks = len(rows.trees), len(rows.networks)
    flies, mice = sum(row.flies for row in rows.trees), [row for row in rows.trees if row.mice]
    ways = Counter(row.made_alike for row in rows.trees if row.network == rows.networks[0])
    species = [row for row in rows.plain if row.on == PHYLOGENY]
    signs, r, against = rows.significant, [row.r for row in species], [row for row in species if row.p > 1 - LEVEL]
    others = [cause for cause in rows.causes if not signs[cause] and cause != PHYLOGENY]
    sharp = Counter(row.network for row in rows.plain if row.on == "sharpness" and row.p < LEVEL)
    each = {sharp[network] for network in rows.networks}
    return items(
        "What is known",
        [
            claim(
                flies == 0 and ways["both"] == ways["voxel size"] == len(ASSUMED_WORM_NM) and ways["nothing"] == 1,
                f"No tree has all species apart. Of {count} trees, the {OF_SPECIES[FLY]} flies are a group of their own in none, "
                f"the {OF_SPECIES[MOUSE]} mice in {len(mice)}. Each of {networks} backbones has {count // networks} "
                "trees: one of the "
                f"volumes as they are, one with contrast made alike, {len(ASSUMED_WORM_NM)} with voxel size and "
                f"{len(ASSUMED_WORM_NM)} with both made alike. The voxel size of the worm is not known: "
                f"{', '.join(f'{nm:g}' for nm in ASSUMED_WORM_NM)} nm were assumed in turn.",
            ),
            claim(
                len({row.network for row in mice}) == 1
                and {row.made_alike for row in mice} == {"both"}
                and len(mice) == len(ASSUMED_WORM_NM),
                f"A tree depends on the training of the backbone. The {len(mice)} trees with the mice as a group are of one "
                f"backbone, {rows.labels[mice[0].network]}, and one condition, both made alike; they differ in the voxel size of "
                f"the worm. Their support is {100 * min(row.mice_support for row in mice):.0f} to "
                f"{100 * max(row.mice_support for row in mice):.0f} %. Another training of the same backbone does not show the "
                "group.",
            ),
            claim(
                signs[PHYLOGENY] == 0,
                f"Distances that grow with phylogeny were not found: the correlation is {min(r):.2f} to {max(r):.2f}, "
                "and no p-value of the "
                f"{count} tests is below {min(row.p for row in species):.2f}. The tests are one-sided: p is the share of "
                "permutations of the volumes whose correlation is at least as high.",
            ),
            claim(
                len({row.trained_on for row in rows.trees if row.network in {one.network for one in against}}) == 1,
                f"In {len(against)} of them, all by backbones trained on {rows.labels[against[0].network].rpartition('-')[0]}, the "
                f"correlation is {min(row.r for row in against):.2f} to {max(row.r for row in against):.2f} and p above "
                f"{1 - LEVEL:.2f}: volumes of one species are further apart than others. Why is not known; the backbones were "
                "trained on some of these domains.",
            ),
            claim(
                max(signs, key=lambda cause: signs[cause]) == "sharpness"
                and signs["voxel size"] > LEVEL * count
                and len(each) == 1,
                f"Sharpness fits best, but weakly: p is below {LEVEL} in {signs['sharpness']} of {count} tests "
                f"({min(each)} for each backbone), for voxel size in "
                f"{signs['voxel size']}, for {', '.join(others)} in none. Without any relation, about {LEVEL * count:.0f} of "
                f"{count} are expected. The tests are not independent.",
            ),
        ],
    )


def tell_unknown() -> str:
    """Return what the rows cannot show."""
    return items(
        "What is not known",
        [
            "What the distances follow. No cause that was tested explains most of the trees.",
            "Whether better backbones or more species would show a tree of species. A weak effect is not excluded by "
            f"{len(DOMAINS)} volumes of {len(OF_SPECIES)} species.",
            "Whether tissue matters. No tissue here is of two species, so that tissue and species cannot be told apart.",
        ],
    )


def tell_advice() -> str:
    """Return what follows for a new volume."""
    return items(
        "What to do with a new volume",
        [
            "Do not read relations of species or tissue out of `neuroadda domains tree`. Near volumes have similar "
            "features, no more.",
            "Compare by more than one backbone, and believe only what all of them show. Whether it helps to make voxel size and "
            "contrast alike before is not shown here.",
            "To choose a source for your volume, use `neuroadda domains rank`, and not the tree: see [ranking.md](ranking.md).",
        ],
    )


def tell_certainty(rows: Rows) -> str:
    """Return how far the page can be trusted."""
    trained = len({row.trained_on for row in rows.trees})
    return "## How sure\n\n" + paragraph(
        f"Well supported: these backbones show no tree of species. There are {len(rows.networks)}: of {trained} "
        "sets of data, two trainings each, all small and for single sections. Nothing here is about large backbones. "
        f"With {PERMUTATIONS:,} permutations of the volumes, p for phylogeny could have been as low "
        f"as {LEAST_P:.3f}: a strong effect would show.",
    )


def tell_generalist(rows: Rows) -> str:
    """Return what the generalist was trained on."""
    name = next(name for name in rows.networks if rows.labels[name].startswith("generalist"))
    left_out = name.removeprefix("without_").rpartition("-")[0]
    return claim(left_out not in SOURCES, f"the generalist: on all {len(SOURCES)} sources' domains")


def table(rows: Rows) -> str:
    """Return the main table: what each backbone shows, with nothing and with both made alike."""
    shown = [PHYLOGENY, "voxel size", "sharpness", "modality"]
    lines = []
    for made_alike in DRAWN:
        for network in rows.networks:
            tree = next(
                row
                for row in rows.trees
                if (row.network, row.made_alike, row.worm_nm) == (network, made_alike, WORM_NM)
            )
            tests = [rows.test(network, made_alike, WORM_NM, cause) for cause in shown]
            lines.append([made_alike, rows.labels[network], *tell_clades(tree), *map(tell_test, tests)])
    return to_markdown(["made alike", "backbone", "flies", "mice", *shown], lines)


def main() -> None:
    """Write both pages and the figure."""
    rows = Rows()
    found = {
        made_alike: {
            rows.labels[network]: [rows.test(network, made_alike, WORM_NM, cause) for cause in rows.causes]
            for network in rows.networks
        }
        for made_alike in DRAWN
    }
    draw_causes(
        PICTURES,
        rows.causes,
        LEVEL,
        {TITLES[k]: {n: [(t.r, t.p < LEVEL) for t in tests] for n, tests in v.items()} for k, v in found.items()},
    )
    parts = [
        "# Domains: phylogeny or imaging?",
        paragraph(
            "**No relation with phylogeny was found: no backbone that we tried puts the species apart. What a tree "
            "of domains follows instead is not "
            "shown; of the properties of the images that we tested, sharpness fits best, and weakly.** A *domain*: a kind of "
            f"tissue and imaging. {len(DOMAINS)} domains of {len(OF_SPECIES)} species (fly, mouse, worm), one volume each, were "
            "compared by the features of a backbone, as they are, and after voxel size, contrast or both were "
            "made alike. The distances (MMD of the features) by each backbone make a tree.",
        ),
        tell_known(rows),
        tell_unknown(),
        tell_advice(),
        tell_certainty(rows),
        "## By backbone",
        paragraph(
            "Flies, mice: whether they are a group in the tree, and in how many of the trees of resampled image blocks (support). "
            "Then Spearman's correlation of the distances with each possible cause, and p. Backbones are named by what they were "
            f"trained on in [the study of transfer](transfer.md) ({tell_generalist(rows)}); 0 and 1 are the first and second "
            f"training. The worm has voxels of {WORM_NM:g} nm here. Sharpness: contrast between neighbouring pixels. Modality: the "
            "kind of microscope. The figure has these tests and those of the spread of grey values (*std grey*) and others.",
        ),
        table(rows),
        "![Correlation of the distances with each possible cause](pictures/domains.png)",
        items(
            "How to rerun",
            [
                "This page, from the rows: `python -m studies.confounds.report`. The rows: `python -m studies.confounds.study "
                f"--backbone FOLDER ... --count {rows.trees[0].patches}`, with backbones of the study of [transfer](transfer.md).",
                f"Rows, committed on {day_of(TREES, TESTS)} ([trees](domains_trees.csv), [tests](domains_tests.csv)): "
                f"{len(rows.trees)} trees, {len(rows.tests)} tests; no GPU; the processor was not noted. Page of {today()}. The "
                f"tests: {len(rows.plain)} of the distances with a cause, {sum(bool(row.given) for row in rows.tests)} with "
                f"phylogeny while a cause is held fixed, {sum(row.of != 'distances' for row in rows.tests)} of a cause with "
                "phylogeny.",
                "All tables, trees and maps, and how the study was made: [domains_tables.md](domains_tables.md).",
            ],
        ),
    ]
    write_page(RESULTS / "domains.md", parts, short=True)
    write_tables(rows)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
