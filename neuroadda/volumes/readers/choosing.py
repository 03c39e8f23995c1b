"""Which of several volumes in one file or folder is meant."""

from collections.abc import Sequence

from neuroadda.errors import UserError
from neuroadda.volumes.locations import to_name
from neuroadda.volumes.nodes import list_some
from neuroadda.volumes.readers.source import Wanted

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
        if cremi not in names and len(volumes) != 1:
            right = f"give --dataset, one of: {list_some(names)}"
            raise UserError("it is not said which dataset to import", where, right)
        dataset = cremi if cremi in names else volumes[0]
    dataset = to_name(dataset)
    if dataset not in names:
        raise UserError(f"there is no dataset {dataset!r}", where, f"datasets in it: {list_some(names)}")
    return dataset
