"""Does the tree of domains follow phylogeny or imaging? The page, its figure and its tables, from the rows.

    python -m studies.confounds.report

Writes docs/results/domains.md, docs/results/domains_tables.md and docs/results/pictures/domains.png. Needs no backbone.
"""

import os

from benchmarks.tables import to_markdown
from studies.confounds.rows import TESTS, TREES
from studies.confounds.study import ASSUMED_WORM_NM, DOMAINS, DRAWN, FLY, MOUSE, WORM, WORM_NM
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

TITLES = {"nothing": "volumes as they are", "both": "voxel size and contrast made alike"}


def tell_known(rows: Rows) -> str:
    """Return what the rows show."""
    count, networks = len(rows.trees), len(rows.networks)
    flies, mice = sum(row.flies for row in rows.trees), [row for row in rows.trees if row.mice]
    species = [row for row in rows.plain if row.on == PHYLOGENY]
    signs, r = rows.significant, [row.r for row in species]
    others = [cause for cause in rows.causes if not signs[cause] and cause != PHYLOGENY]
    return items(
        "What is known",
        [
            claim(
                flies == 0,
                f"No tree has the species apart. Of {count} trees ({networks} networks, {count // networks} ways to make the "
                f"volumes alike), the {OF_SPECIES[FLY]} flies are a group of their own in none, the {OF_SPECIES[MOUSE]} mice in "
                f"{len(mice)}.",
            ),
            claim(
                signs[PHYLOGENY] == 0,
                f"The distances do not follow phylogeny: the correlation is {min(r):.2f} to {max(r):.2f}, and no p-value of the "
                f"{count} tests is below {min(row.p for row in species):.2f}.",
            ),
            claim(
                max(signs, key=lambda cause: signs[cause]) == "sharpness" and signs["voxel size"] > LEVEL * count,
                f"If they follow anything, it is the image. Sharpness has p below {LEVEL} in {signs['sharpness']} of {count} "
                f"tests, voxel size in {signs['voxel size']}, {', '.join(others)} in none. By chance, it would be in about "
                f"{LEVEL * count:.0f} for each. The tests are not independent.",
            ),
            claim(
                len({row.network for row in mice}) == 1 and {row.made_alike for row in mice} == {"both"},
                f"A tree depends on the training of the network. The {len(mice)} trees with the mice as a group are all by "
                f"{rows.labels[mice[0].network]}, where voxel size and contrast are alike. Their support is "
                f"{100 * min(row.mice_support for row in mice):.0f} to {100 * max(row.mice_support for row in mice):.0f} %. "
                "Another training of the same network does not show the group.",
            ),
        ],
    )


def tell_unknown() -> str:
    """Return what the rows cannot show."""
    return items(
        "What is not known",
        [
            "Whether better networks or more species would show a tree of species. A weak effect is not excluded by "
            f"{len(DOMAINS)} volumes of {len(OF_SPECIES)} species.",
            f"Whether tissue matters. The {OF_SPECIES[MOUSE]} mouse volumes are of different tissue, cortex and corpus callosum, "
            "so that species and tissue cannot be told apart.",
            f"The voxel size of the worm, {OF_SPECIES[WORM]} volume. {', '.join(f'{nm:g}' for nm in ASSUMED_WORM_NM)} nm were "
            f"assumed in turn; the table and the figure have {WORM_NM:g} nm.",
        ],
    )


def tell_advice() -> str:
    """Return what follows for a new volume."""
    return items(
        "What to do with a new volume",
        [
            "Do not read relations of species or tissue out of `neuroadda domains tree`. Volumes that are near each other look "
            "alike to that network, and no more.",
            "Before you compare volumes, bring them to one voxel size and one contrast. Compare by more than one network, and "
            "believe only what all of them show.",
            "To choose a network for your volume, use `neuroadda domains rank`, and not the tree: see [ranking.md](ranking.md).",
        ],
    )


def tell_certainty(rows: Rows) -> str:
    """Return how far the page can be trusted."""
    trained = len({row.trained_on for row in rows.trees})
    return "## How sure\n\n" + paragraph(
        f"Well supported: these networks show no tree of species. There are {trained} networks, each trained twice, all small "
        "and for single sections. Nothing here is about large networks, or networks that were trained to tell tissue apart. With "
        f"{PERMUTATIONS:,} permutations of the volumes, p for phylogeny could have been as low as {LEAST_P:.3f}: the test can "
        "find a strong effect.",
    )


def table(rows: Rows) -> str:
    """Return the main table: what each network shows, with nothing and with both made alike."""
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
    return to_markdown(["made alike", "network", "flies", "mice", *shown], lines)


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
            "**Not phylogeny: no network that we tried puts the species apart. A tree of domains shows how images look to a "
            f"network.** {len(DOMAINS)} volumes of {len(OF_SPECIES)} species (fly, mouse, worm) were compared by the features "
            "that a network computes of them, as they are, and after voxel size, contrast or both were made alike. The distances "
            "of each network make a tree.",
        ),
        tell_known(rows),
        tell_unknown(),
        tell_advice(),
        tell_certainty(rows),
        "## By network",
        paragraph(
            "Flies, mice: whether they are a group in the tree, and in how many of the trees of resampled image blocks. Then the "
            "correlation of the distances with each possible cause, and its p-value. A network is named by what it was trained "
            "on; 0 and 1 are its first and second training. Sharpness: contrast between neighbouring pixels. Modality: the kind of "
            "microscope. In the figure, *std grey* is the spread of grey values.",
        ),
        table(rows),
        "![Correlation of the distances with each possible cause](pictures/domains.png)",
        items(
            "How to rerun",
            [
                "This page, from the rows: `python -m studies.confounds.report`. The rows: `python -m studies.confounds.study "
                f"--backbone FOLDER ... --count {rows.trees[0].patches}`, with networks of the study of [transfer](transfer.md).",
                f"Rows, committed on {day_of(TREES, TESTS)} ([trees](domains_trees.csv), [tests](domains_tests.csv)): "
                f"{len(rows.trees)} trees, {len(rows.tests)} tests; no GPU; the processor was not noted. Page of {today()}.",
                "All tables, trees and maps, and how the study was made: [domains_tables.md](domains_tables.md).",
            ],
        ),
    ]
    write_page(RESULTS / "domains.md", parts, short=True)
    write_tables(rows)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
