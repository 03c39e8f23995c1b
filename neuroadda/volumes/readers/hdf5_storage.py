"""What of an HDF5 dataset is stored: HDF5 reads parts that are not as its fill value."""

import math

import h5py

from neuroadda.errors import UserError
from neuroadda.volumes.storage.completeness import AGAIN, describe_missing


def describe_storage(node: h5py.Dataset, where: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
    """Return notes on the chunks of a dataset that are not stored.

    Parameters
    ----------
    where
        The dataset, for error messages.
    may_be_empty
        Nothing need be stored, as of labels that nobody has drawn in.

    Raises
    ------
    UserError
        If nothing is stored.
    """
    if node.is_virtual or node.external or not node.size:
        return ()
    total = math.prod(math.ceil(n / c) for n, c in zip(node.shape, node.chunks, strict=True)) if node.chunks else 1
    stored = node.id.get_num_chunks() if node.chunks else int(node.id.get_storage_size() > 0)
    if stored == 0 and not may_be_empty:
        raise UserError("none of its voxels is stored: the dataset is empty", where, AGAIN)
    missing = total - stored
    return (describe_missing(missing, total, node.fillvalue),) if missing else ()
