"""Metrics of a set of translations: how close their features are to those of real images of the target domain.

All take features as arrays (n, d) of the translations and (m, d) of the real images. The formulas are implemented here
so that they work without torch-fidelity; tests compare them with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from util.evaluation.intervals import Groups, jackknife_interval
from util.evaluation.metric import Interval, Metric, Needs

NEIGHBORS = 3
FID_IS_BIASED_BELOW = 2000  # images
BLOCK = 1000  # rows of a matrix of all pairs that are in memory at once


def frechet_distance(fakes: np.ndarray, reals: np.ndarray) -> float:
    """FID (Heusel et al. 2017): |mean difference|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) with sample covariances S1, S2.

    With centered features A of one set and B of the other, each divided by the root of its number minus 1, S1 = A'A and
    S2 = B'B, and the trace of (S1 S2)^(1/2) is the sum of the singular values of AB': this is exact, even
    if there are fewer images than features and S1 S2 is singular.
    """
    difference = fakes.mean(0, dtype=np.float64) - reals.mean(0, dtype=np.float64)
    a, b = _centered(fakes), _centered(reals)
    covariance = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(difference @ difference + np.square(a).sum() + np.square(b).sum() - 2 * covariance)


def _centered(features: np.ndarray) -> np.ndarray:
    """A matrix A with at most d rows and A'A = the sample covariance of features (n, d)."""
    features = features.astype(np.float64)
    centered = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centered, mode="r")) if len(centered) > centered.shape[1] else centered


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The cubic polynomial kernel (x'y / d + 1)^3 of KID, of all pairs of two sets of features."""
    return np.asarray((x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1) ** 3)


def kernel_distance(fakes: np.ndarray, reals: np.ndarray) -> float:
    """1000 times KID (Bińkowski et al. 2018): the unbiased squared maximum mean discrepancy, over all pairs.

    The sum over pairs needs no subsets of 1,000 images, which small test sets lack. Being unbiased, it is below 0 for
    about half of all pairs of sets from the same distribution.
    """
    return _discrepancy(fakes, reals)[0]


def kernel_interval(fakes: np.ndarray, reals: np.ndarray) -> Interval | None:
    """The interval of `kernel_distance`: both sets vary."""
    return jackknife_interval(*_discrepancy(fakes, reals))


def kernel_difference_interval(fakes: np.ndarray, others: np.ndarray, reals: np.ndarray) -> Interval | None:
    """The interval of the KID of `fakes` minus that of `others`, against the same real images.

    Row i of both sets is translated from the same source image: deleting it deletes both.
    """
    first, (first_x, first_y) = _discrepancy(fakes, reals)
    second, (second_x, second_y) = _discrepancy(others, reals)
    return jackknife_interval(first - second, (first_x - second_x, first_y - second_y))


def _discrepancy(x: np.ndarray, y: np.ndarray) -> tuple[float, Groups]:
    """1000 times the squared discrepancy, and its values with each single x, and each single y, deleted."""
    n, m = len(x), len(y)
    rows, columns, total = np.zeros(n), np.zeros(m), 0.0
    for block in _blocks(n):
        part = kernel(x[block], y)
        rows[block], columns = part.sum(1), columns + part.sum(0)
        total += part.sum()
    (mean_x, without_x), (mean_y, without_y) = _mean_within(x), _mean_within(y)
    value = mean_x + mean_y - 2 * total / (n * m)
    without_x = without_x + mean_y - 2 * (total - rows) / max(1, (n - 1) * m)
    without_y = without_y + mean_x - 2 * (total - columns) / max(1, (m - 1) * n)
    return 1000 * float(value), (1000 * without_x, 1000 * without_y)


def _mean_within(x: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean kernel of all pairs of different rows, and its values with each single row deleted."""
    n = len(x)
    sums = np.concatenate([kernel(x[block], x).sum(1) for block in _blocks(n)])
    sums -= (np.square(x, dtype=np.float64).mean(1) + 1) ** 3  # the pairs of a row with itself
    return float(sums.sum() / (n * (n - 1))), (sums.sum() - 2 * sums) / max(1, (n - 1) * (n - 2))


def _blocks(n: int) -> Iterator[slice]:
    """Slices of n rows, so that matrices of all pairs of large sets need not be in memory as a whole."""
    return (slice(start, min(n, start + BLOCK)) for start in range(0, n, BLOCK))


def precision(fakes: np.ndarray, reals: np.ndarray) -> float:
    """Improved precision (Kynkäänniemi et al. 2019): the share of translations that lie near a real image.

    Near: within the distance of a real image from its third nearest other real image.
    """
    radii = np.concatenate([_radii(reals, block) for block in _blocks(len(reals))])
    near = [(_distances(fakes[block], reals) <= radii).any(1) for block in _blocks(len(fakes))]
    return float(np.concatenate(near).mean())


def recall(fakes: np.ndarray, reals: np.ndarray) -> float:
    """Improved recall (Kynkäänniemi et al. 2019): the share of real images that lie near a translation."""
    return precision(reals, fakes)


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, m) of the rows of (n, d) and (m, d)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.sqrt(np.maximum(squares, 0))


def _radii(x: np.ndarray, block: slice) -> np.ndarray:
    """The distance of each row of a block from the third nearest other row of all."""
    distances = _distances(x[block], x)
    rows = np.arange(len(distances))
    distances[rows, block.start + rows] = 0  # of a row from itself
    return np.asarray(np.partition(distances, NEIGHBORS, axis=1)[:, NEIGHBORS])


KID = Metric(
    "kid",
    "kid_x1000",
    "KID x1000",
    Needs.SETS,
    kernel_distance,
    (-float("inf"), float("inf")),
    higher_is_better=False,
    smallest_count=2,
    digits=2,
    interval=kernel_interval,
    difference=kernel_difference_interval,
)
FID = Metric(
    "fid",
    "fid",
    "FID",
    Needs.SETS,
    frechet_distance,
    (0, float("inf")),
    higher_is_better=False,
    smallest_count=2,
    digits=2,
    warn_below=FID_IS_BIASED_BELOW,
)
PRECISION = Metric(
    "precision",
    "precision",
    "precision",
    Needs.SETS,
    precision,
    (0, 1),
    higher_is_better=True,
    smallest_count=NEIGHBORS + 1,
    digits=3,
)
RECALL = Metric(
    "recall",
    "recall",
    "recall",
    Needs.SETS,
    recall,
    (0, 1),
    higher_is_better=True,
    smallest_count=NEIGHBORS + 1,
    digits=3,
)
