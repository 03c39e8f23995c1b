"""Which of several volumes in one file or folder is meant."""

from collections.abc import Sequence

from neuroadda.errors import UserError
from neuroadda.volumes.readers.source import Wanted
from neuroadda.volumes.storage.locations import to_name
from neuroadda.volumes.storage.nodes import list_some

CREMI_RAW = "volumes/raw"
CREMI_LABELS = "volumes/labels/neuron_ids"


def choose(names: Sequence[str], volumes: Sequence[str], wanted: Wanted, where: str) -> str:
    """Return the dataset that is wanted: that of the CREMI layout, or the only volume, where none is named.

    Parameters
    ----------
    names, volumes
        All datasets, and those with three axes.

    Raises
    ------
    UserError
        If it is not there, or it is not said which one.
    """
    dataset = wanted.dataset
    if dataset is None:
        cremi = CREMI_LABELS if wanted.labels else CREMI_RAW
        found = volumes or names  # of what has other axes, the one there is: it is told what is wrong with it
        if cremi not in names and len(found) != 1:
            what = "it is not said which dataset to import" if volumes or not names else "no dataset has three axes"
            raise UserError(what, where, f"give --dataset, one of: {list_some(found)}")
        dataset = cremi if cremi in names else found[0]
    dataset = to_name(dataset)
    if dataset not in names:
        raise UserError(f"there is no dataset {dataset!r}", where, f"datasets in it: {list_some(names)}")
    return dataset
