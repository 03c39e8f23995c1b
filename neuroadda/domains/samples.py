"""Two samples of features, checked: what every comparison of two domains starts with."""

import numpy as np

from neuroadda.errors import UserError


def check_samples(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both samples as float32[n, F] and float32[m, F].

    Raises
    ------
    UserError
        If one is not a table of at least two rows of finite numbers, or they differ in F.
    """
    x, y = _check_sample(x, "sample x"), _check_sample(y, "sample y")
    if x.shape[1] != y.shape[1]:
        raise UserError(
            f"{x.shape[1]} features in sample x, {y.shape[1]} in sample y", "features", "embed both by one network"
        )
    return x, y


def check_blocks(x: np.ndarray, y: np.ndarray, x_blocks: np.ndarray, y_blocks: np.ndarray) -> np.ndarray:
    """Number the blocks of both samples densely: x's from 0, then y's.

    Blocks of x and of y are different blocks, whatever their numbers.

    Returns
    -------
    np.ndarray
        int64[n + m]: the block of every row of x, then of y.

    Raises
    ------
    UserError
        If there is not one whole number per row, or a sample lies in one block.
    """
    of_x, x_count = _number_blocks(x, x_blocks, "sample x")
    of_y, _ = _number_blocks(y, y_blocks, "sample y")
    return np.concatenate((of_x, of_y + x_count))


def _check_sample(values: np.ndarray, where: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] < 1 or values.dtype.kind not in "fiu":
        raise UserError(f"{values.dtype}{list(values.shape)} is not a table of features", where, "give float[n, F]")
    if len(values) < 2:
        raise UserError(f"{len(values)} patches are too few to compare", where, "give at least two")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(values).all():
        raise UserError("a feature is NaN or infinite", where)
    return values


def _number_blocks(values: np.ndarray, blocks: np.ndarray, where: str) -> tuple[np.ndarray, int]:
    blocks = np.asarray(blocks)
    if blocks.shape != (len(values),) or blocks.dtype.kind not in "iu":
        raise UserError(
            f"blocks {blocks.dtype}{list(blocks.shape)} for {len(values)} patches", where, "give one number per patch"
        )
    names, numbers = np.unique(blocks, return_inverse=True)
    if len(names) < 2:
        raise UserError("all patches lie in one spatial block", where, "draw them from at least two")
    return numbers.astype(np.int64), len(names)
