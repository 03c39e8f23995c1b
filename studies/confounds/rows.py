"""The rows of the study of domains."""

from dataclasses import dataclass
from pathlib import Path

TREES, TESTS = Path("docs/results/domains_trees.csv"), Path("docs/results/domains_tests.csv")


@dataclass(frozen=True)
class TreeRow:
    """A tree of the domains, by one network.

    Attributes
    ----------
    network
        The backbone's name, and which training of it.
    trained_on
        Its domain.
    patches, patch_px, pooling
        How many patches of a domain were embedded, their side, and how their deepest features were pooled.
    made_alike
        "nothing", "voxel size", "contrast" or "both".
    worm_nm : nm
        The voxel size that the worm is assumed to have.
    flies, mice
        1 if they are a clade, else 0.
    flies_support, mice_support
        Share of the trees of resampled spatial blocks in which they are.
    cophenetic
        Correlation of the distances with those that the tree shows.
    """

    network: str
    trained_on: str
    patches: int
    patch_px: int
    pooling: str
    made_alike: str
    worm_nm: float
    flies: int
    flies_support: float
    mice: int
    mice_support: float
    cophenetic: float


@dataclass(frozen=True)
class MantelRow:
    """A Mantel test: does what is measured between domains grow with another difference between them?

    Attributes
    ----------
    of
        "distances" between the features, or a confound such as "voxel size".
    on
        "phylogeny", or a confound.
    given
        In a partial test: the confound that is held fixed; else empty.
    r, p
        Spearman's correlation, and its one-sided p-value over all permutations.
    """

    network: str
    made_alike: str
    worm_nm: float
    of: str
    on: str
    given: str
    r: float
    p: float
