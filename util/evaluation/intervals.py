"""95% confidence intervals: the range in which figures would vary with other images of the same kind.

Coverage was measured with tests.util.evaluation.coverage, see docs/evaluation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from util.evaluation.metric import Interval, Metric, Needs

LEVEL = 0.95
RESAMPLES = 2000
SEED = 20260  # fixed: figures of different runs are comparable, and a repeated call gives the same result
FEWEST_VALUES = 10
CHUNK = 2_000_000  # indices drawn at once: 16 MB
Groups = tuple[np.ndarray, ...]
"""For each sample that a figure is computed from: its values with one element deleted each."""
NORMAL = NormalDist()


def mean_interval(values: Sequence[float] | np.ndarray) -> Interval | None:
    """The interval of the mean of independent values: BCa bootstrap (Efron 1987) with the width of Student's t.

    None for fewer than 10 values, and for values that are not finite.
    """
    data = np.sort(np.asarray(values, dtype=np.float64))  # the order must not matter
    n = len(data)
    if n < FEWEST_VALUES or not np.isfinite(data).all():
        return None
    # Resampled means vary by sqrt((n - 1) / n) too little, and their quantiles are normal ones: widen both, as
    # Hesterberg (2015, section 4.3) does for percentiles.
    tail = NORMAL.cdf(student_quantile((1 - LEVEL) / 2, n - 1) * math.sqrt(n / (n - 1)))
    return bca_interval(data, tail)


def bca_interval(data: np.ndarray, tail: float) -> Interval:
    """The BCa interval of the mean of sorted data, which excludes `tail` on each side, with a fixed seed."""
    means = np.sort(_resampled_means(data))
    mean = data.mean()
    if means[0] == means[-1]:
        return float(means[0]), float(means[-1])
    below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / 2 / len(means)
    bias = NORMAL.inv_cdf(min(max(below, 1 / len(means)), 1 - 1 / len(means)))
    deviations = data - mean
    acceleration = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))  # that of a mean

    def bound(quantile: float) -> float:
        shifted = bias + quantile
        level = NORMAL.cdf(bias + shifted / max(1e-3, 1 - acceleration * shifted))
        return float(np.quantile(means, level))

    quantile = NORMAL.inv_cdf(tail)
    return bound(quantile), bound(-quantile)


def _resampled_means(data: np.ndarray) -> np.ndarray:
    """Means of RESAMPLES samples with replacement."""
    random, n = np.random.default_rng(SEED), len(data)
    rows = max(1, CHUNK // n)
    counts = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    return np.concatenate([data[random.integers(0, n, (count, n))].mean(1) for count in counts])


def jackknife_interval(value: float, groups: Groups) -> Interval | None:
    """The interval of a figure of several samples, from its values with one element deleted (Arvesen 1969).

    The variance is the sum of the samples' jackknife variances, the width that of Student's t with the degrees of
    freedom of Welch and Satterthwaite. None for a sample of fewer than 10 elements, and values that are not finite.
    """
    if min(len(group) for group in groups) < FEWEST_VALUES or not all(np.isfinite(group).all() for group in groups):
        return None
    variances = [(len(group) - 1) * float(np.var(group)) for group in groups]
    total = sum(variances)
    if total == 0:
        return value, value
    freedom = total**2 / sum(part**2 / (len(group) - 1) for part, group in zip(variances, groups, strict=True))
    width = -student_quantile((1 - LEVEL) / 2, freedom) * math.sqrt(total)
    return value - width, value + width


def difference_interval(
    metric: Metric, first: np.ndarray, second: np.ndarray, reals: np.ndarray | None = None
) -> Interval | None:
    """The interval of the figure of one system minus that of another, both on the same images in the same order.

    Takes the scores (n) of single images, or for a metric of sets the descriptors (n, ...) of both, and of the real
    images. None if the metric has no such interval. Pairing makes it narrower than the two intervals suggest. Scores
    have the interval of Student's t: differences are nearly symmetric but have outliers, where BCa covers 91%.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} images are not pairs")
    if metric.needs is Needs.SETS:
        return metric.difference(first, second, reals) if metric.difference is not None else None
    differences = np.sort(np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64))
    without = (differences.sum() - differences) / max(1, len(differences) - 1)
    return jackknife_interval(float(differences.mean()), (without,))  # of a mean, that is Student's t


def student_quantile(level: float, freedom: float) -> float:
    """The quantile of Student's t, within 0.1% from 9 degrees of freedom on (Abramowitz and Stegun 26.7.5)."""
    z = NORMAL.inv_cdf(level)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))
