"""Other distances between two samples of features, to hold MMD against: Frechet, and a classifier's AUC."""

import importlib
from typing import Any

import numpy as np
from scipy.linalg import eigh

from neuroadda.domains.samples import check_blocks, check_samples
from neuroadda.errors import UserError

FOLDS = 5


def frechet_distance(x: np.ndarray, y: np.ndarray, *, shrink: bool = False) -> float:
    """Return the squared Frechet (2-Wasserstein) distance of the Gaussians fitted to two samples, as FID does.

    ``||a - b||^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)`` of means a, b and covariances A, B (Heusel et al. 2017, eq. 6).

    Parameters
    ----------
    x, y
        float32[n, F], float32[m, F].
    shrink
        Draw each covariance towards a multiple of the identity (Ledoit and Wolf 2004), by as much as its sample asks for.
        With fewer patches than features the covariances are singular, and the distance of two samples of one domain far
        from zero; shrinking lessens that. Values with and without do not compare.

    Raises
    ------
    UserError
        If the samples cannot be compared; if `shrink` is given and scikit-learn is not installed.
    """
    (a, cov_a), (b, cov_b) = (_fit_gaussian(sample.astype(np.float64), shrink) for sample in check_samples(x, y))
    values, vectors = eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(eigh(root @ cov_b @ root, eigvals_only=True), 0)).sum()
    return max(0.0, float(((a - b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross))


def classifier_auc(
    x: np.ndarray,
    y: np.ndarray,
    x_blocks: np.ndarray,
    y_blocks: np.ndarray,
    seed: int = 0,
    *,
    folds: int = FOLDS,
    penalty: float = 1.0,
) -> float:
    """Return how well a logistic regression tells two samples apart: 0.5 not at all (or a little less), 1 perfectly.

    Cross-validated: whole spatial blocks are held out, since a patch's neighbour gives it away; features are standardised
    by the training folds; the AUC is the mean of that of each held-out fold (scores of different folds do not compare).

    Parameters
    ----------
    x, y
        float32[n, F], float32[m, F].
    x_blocks, y_blocks
        int[n], int[m]: the spatial block of each patch.
    seed
        Of which blocks share a fold.
    folds
        At most; no more than the smaller number of blocks.
    penalty
        Half of it times the squared weights is added to the summed log loss.

    Raises
    ------
    UserError
        If the samples cannot be compared, a sample has fewer than two blocks, or scikit-learn is not installed.
    """
    x, y = check_samples(x, y)
    groups = check_blocks(x, y, x_blocks, y_blocks)
    if folds < 2 or not penalty > 0:
        raise UserError(
            f"{folds} folds, penalty {penalty}", "classifier", "give at least two folds, a positive penalty"
        )
    counts = groups[: len(x)].max() + 1, groups.max() - groups[: len(x)].max()
    folds = int(min(folds, *counts))
    rng = np.random.default_rng(seed)
    fold_of = np.concatenate([rng.permutation(np.arange(count) % folds) for count in counts])[groups]
    features = np.concatenate((x, y))
    is_y = np.repeat((False, True), (len(x), len(y)))
    linear_model, metrics, preprocessing = map(_import_sklearn, ("linear_model", "metrics", "preprocessing"))
    aucs = []
    for fold in range(folds):
        held_out = fold_of == fold
        scaler = preprocessing.StandardScaler().fit(features[~held_out].astype(np.float64))
        model = linear_model.LogisticRegression(C=1 / penalty, tol=1e-6, max_iter=10_000)
        model.fit(scaler.transform(features[~held_out]), is_y[~held_out])
        scores = model.decision_function(scaler.transform(features[held_out]))
        aucs.append(metrics.roc_auc_score(is_y[held_out], scores))
    return float(np.mean(aucs))


def _fit_gaussian(sample: np.ndarray, shrink: bool) -> tuple[np.ndarray, np.ndarray]:
    if not shrink:
        return sample.mean(0), np.atleast_2d(np.cov(sample, rowvar=False))
    covariance, _ = _import_sklearn("covariance").ledoit_wolf(sample)
    return sample.mean(0), np.atleast_2d(covariance) * len(sample) / (len(sample) - 1)


def _import_sklearn(module: str) -> Any:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise UserError("scikit-learn is not installed", "domains", "pip install neuroadda[domains]") from error
