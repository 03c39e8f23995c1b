"""All tables of the study of domains: the page docs/results/domains_tables.md."""

from collections import Counter
from collections.abc import Sequence
from math import factorial, prod

from benchmarks.tables import to_markdown
from studies.confounds.rows import TESTS, TREES, MantelRow, TreeRow
from studies.confounds.study import ASSUMED_WORM_NM, DOMAINS, DRAWN, GROUPS, MATCHED_NM, MEAN, SPECIES, STD, WORM_NM
from studies.pages import PICTURES, RESULTS, items, paragraph, write_page
from studies.rows import read_table

PHYLOGENY = "phylogeny"
LEVEL = 0.05
PERMUTATIONS = factorial(len(DOMAINS))
LEAST_P = prod(factorial(len(group)) for group in GROUPS) / PERMUTATIONS  # domains of a species can be exchanged
OF_SPECIES = Counter(SPECIES.values())


class Rows:
    """The rows, and what is counted in them.

    Attributes
    ----------
    labels
        By network: what it was trained on, and which training it is.
    causes
        What the distances may follow, phylogeny first.
    significant
        By cause: how many tests have a correlation above 0 with p below `LEVEL`.
    """

    def __init__(self) -> None:
        self.trees, self.tests = read_table(TREES, TreeRow), read_table(TESTS, MantelRow)
        self.networks = list(dict.fromkeys(row.network for row in self.trees))
        self.labels = {row.network: f"{row.trained_on}-{row.network.rpartition('-')[2]}" for row in self.trees}
        self.plain = [row for row in self.tests if row.of == "distances" and not row.given]
        self.causes = list(dict.fromkeys(row.on for row in self.plain))
        self.significant = {cause: sum(row.p < LEVEL for row in self.plain if row.on == cause) for cause in self.causes}

    def test(self, network: str, made_alike: str, worm_nm: float, on: str) -> MantelRow:
        """Return a test of the distances."""
        key = (network, made_alike, worm_nm, on)
        return next(row for row in self.plain if (row.network, row.made_alike, row.worm_nm, row.on) == key)


def tell_clades(row: TreeRow) -> list[str]:
    """Return whether flies and mice are clades of a tree, and their support."""
    pairs = ((row.flies, row.flies_support), (row.mice, row.mice_support))
    return [f"{'yes' if is_clade else 'no'} ({support:.0%})" for is_clade, support in pairs]


def tell_test(row: MantelRow) -> str:
    """Return r and p."""
    return f"{row.r:.2f} ({row.p:.3f})"


def write_tables(rows: Rows) -> None:
    """Write the page of all tables."""
    parts = ["# Domains: phylogeny or imaging? All tables", paragraph("The conclusion is in [domains.md](domains.md).")]
    parts.append(_tell_setting(rows))
    for network in rows.networks:
        trees = [row for row in rows.trees if row.network == network]
        tests = [row for row in rows.tests if row.network == network]
        first, confounds = trees[0], [cause for cause in rows.causes if cause != PHYLOGENY]
        flies, mice, both = (
            sum(found) for found in zip(*((t.flies, t.mice, t.flies * t.mice) for t in trees), strict=True)
        )
        parts += [f"## Embedded by {network}"]
        parts += [
            f"Trained on {first.trained_on}. {first.patches} patches of 1 x {first.patch_px} x {first.patch_px} voxels a domain; "
            f"{first.pooling} of the deepest features. Of {len(trees)} conditions, the flies are a clade in {flies}, the mice in "
            f"{mice}, both in {both}."
        ]
        head = ["made alike", "flies apart from mouse apart from worm", "flies", "mice", "cophenetic r"]
        lines = [
            [_name(t), "yes" if t.flies and t.mice else "no", *tell_clades(t), f"{t.cophenetic:.2f}"] for t in trees
        ]
        parts += ["### Trees", to_markdown(head, lines)]
        plain = [row for row in tests if row.of == "distances" and not row.given]
        parts += ["### Mantel tests of the distances: r (p)", _table_of_tests(plain, [row.on for row in plain])]
        partial = [row for row in tests if row.given]
        parts += ["### Partial Mantel tests of the distances with phylogeny, given a confound: r (p)"]
        parts += [_table_of_tests(partial, [row.given for row in partial])]
        of = {row.of: row for row in tests if row.of != "distances"}
        parts += ["### Mantel tests of confounds with phylogeny: r (p)"]
        parts += [to_markdown(confounds, [[tell_test(of[confound]) for confound in confounds]])]
        parts += [
            f"![{stem}, {kind}](pictures/{stem}_{kind}.png)"
            for stem in (f"domains_{network}_{drawn}" for drawn in DRAWN.values())
            for kind in ("dendrogram", "heatmap", "map")
            if (PICTURES / f"{stem}_{kind}.png").exists()
        ]
    write_page(RESULTS / "domains_tables.md", parts)


def _name(row: TreeRow | MantelRow) -> str:
    assumed = row.made_alike in ("voxel size", "both")
    return f"{row.made_alike} (worm {row.worm_nm:g} nm)" if assumed else row.made_alike


def _table_of_tests(tests: Sequence[MantelRow], columns: Sequence[str]) -> str:
    lines: dict[str, list[str]] = {}
    for row in tests:
        lines.setdefault(_name(row), []).append(tell_test(row))
    return to_markdown(["made alike", *dict.fromkeys(columns)], [[name, *cells] for name, cells in lines.items()])


def _tell_setting(rows: Rows) -> str:
    sentences = [
        f"{len(DOMAINS)} volumes of {len(OF_SPECIES)} species are embedded by one network, and compared by MMD (unbiased, "
        "between spatial blocks; a Gaussian kernel of the pooled median bandwidth). UPGMA clusters them.",
        f"Before that, voxel size ({MATCHED_NM:g} nm in the plane), contrast (mean {MEAN:g} and standard deviation {STD:g} of "
        "every patch), or both are made alike.",
        "Flies, mice: whether they are a clade, and in what share of the trees of resampled spatial blocks they are.",
        f"Mantel tests: Spearman, one-sided, all {PERMUTATIONS:,} permutations. For phylogeny, domains of a species can be "
        f"exchanged, so that its p cannot be below {LEAST_P:.3f}. Phylogeny: (fly, worm), mouse.",
        "Sharpness: spread of differences between neighbouring pixels over that of pixels. Grey values and sharpness are those "
        "of the volumes as they are. Tissue is no part of this.",
        f"The worm's voxel size is not known: {', '.join(f'{nm:g}' for nm in ASSUMED_WORM_NM)} nm are assumed ({WORM_NM:g} where "
        "nothing is said). Its modality is not known and counts as unlike all others.",
        "The networks are those of [the transfer study](transfer.md), 0 the first training of each, 1 the second. The rows of "
        "the first training are as they were rounded for this page at that time; its pictures were not kept.",
    ]
    return items("How it was made", sentences)
