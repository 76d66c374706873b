"""Confidence intervals against scipy, brute force and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.util.evaluation import coverage
from util.evaluation import set_metrics
from util.evaluation.intervals import (
    bca_interval,
    difference_interval,
    jackknife_interval,
    mean_interval,
    student_quantile,
)
from util.evaluation.pair_metrics import MAE
from util.evaluation.set_metrics import FID, KID


def skewed(n: int, seed: int = 0) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).gamma(1.5, size=n))


@pytest.mark.parametrize("n", [12, 60, 300])
def test_bca_is_that_of_scipy(n: int) -> None:
    data = skewed(n)
    random = np.random.default_rng(1)
    expected = stats.bootstrap((data,), np.mean, n_resamples=20_000, method="BCa", rng=random).confidence_interval
    width = expected.high - expected.low
    # Ours draws 2,000 samples: their quantiles vary by about 2% of the width.
    assert bca_interval(data, 0.025) == pytest.approx((expected.low, expected.high), abs=0.08 * width)
    asymmetry = expected.high + expected.low - 2 * data.mean()
    low, high = bca_interval(data, 0.025)
    assert np.sign(high + low - 2 * data.mean()) == np.sign(asymmetry) == 1


def test_the_interval_of_a_mean_is_a_bit_wider_than_bca_and_does_not_depend_on_order() -> None:
    data = skewed(30)
    low, high = bca_interval(data, 0.025)
    wide_low, wide_high = mean_interval(data) or (0, 0)
    assert 1.0 < (wide_high - wide_low) / (high - low) < 1.12
    assert mean_interval(data[::-1]) == mean_interval(list(np.random.default_rng(3).permutation(data)))


def test_no_interval_for_few_values_or_values_that_are_not_finite() -> None:
    assert mean_interval(skewed(9)) is None
    assert mean_interval([*skewed(20), np.inf]) is None
    assert mean_interval([0.25] * 10) == (0.25, 0.25)
    assert jackknife_interval(1.0, (np.ones(20), np.ones(9))) is None
    assert jackknife_interval(1.0, (np.ones(20), np.ones(10))) == (1.0, 1.0)


@pytest.mark.parametrize("freedom", [9, 20.5, 49, 1000])
def test_student_quantile(freedom: float) -> None:
    assert student_quantile(0.025, freedom) == pytest.approx(stats.t.ppf(0.025, freedom), rel=1e-3)


def test_jackknife_of_a_mean_is_student_t() -> None:
    data = skewed(25)
    without = np.array([np.delete(data, i).mean() for i in range(25)])
    expected = stats.t.interval(0.95, 24, data.mean(), stats.sem(data))
    assert jackknife_interval(float(data.mean()), (without,)) == pytest.approx(expected, rel=1e-3)
    again = difference_interval(MAE, data + 1, np.ones(25))
    assert again == pytest.approx(expected, rel=1e-3)


def brute_force(values: np.ndarray, others: np.ndarray | None, reals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """KID, or its difference, with each single image deleted."""

    def figure(keep_x: np.ndarray, keep_y: np.ndarray) -> float:
        distance = set_metrics.kernel_distance
        first = distance(values[keep_x], reals[keep_y])
        return first - (distance(others[keep_x], reals[keep_y]) if others is not None else 0)

    x, y = np.arange(len(values)), np.arange(len(reals))
    return np.array([figure(np.delete(x, i), y) for i in x]), np.array([figure(x, np.delete(y, i)) for i in y])


def test_intervals_of_kid_are_those_of_deleting_each_image() -> None:
    random = np.random.default_rng(5)
    fakes, others, reals = random.normal(size=(12, 4)), random.normal(0.5, 1, (12, 4)), random.normal(1, 1, (15, 4))
    expected = jackknife_interval(set_metrics.kernel_distance(fakes, reals), brute_force(fakes, None, reals))
    assert KID.interval is not None
    assert KID.interval(fakes, reals) == pytest.approx(expected)
    value = set_metrics.kernel_distance(fakes, reals) - set_metrics.kernel_distance(others, reals)
    expected = jackknife_interval(value, brute_force(fakes, others, reals))
    assert difference_interval(KID, fakes, others, reals) == pytest.approx(expected)


def test_a_system_does_not_differ_from_itself() -> None:
    random = np.random.default_rng(6)
    fakes, reals = random.normal(size=(20, 4)), random.normal(1, 1, (20, 4))
    assert difference_interval(KID, fakes, fakes, reals) == (0, 0)
    assert difference_interval(MAE, fakes[:, 0], fakes[:, 0]) == (0, 0)
    assert difference_interval(FID, fakes, fakes, reals) is None
    with pytest.raises(ValueError, match="20 and 19 images are not pairs"):
        difference_interval(MAE, fakes[:, 0], fakes[1:, 0])


@pytest.mark.parametrize("case", coverage.CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("n", [50, 120])
def test_coverage(case: coverage.Case, n: int) -> None:
    """95% within four standard errors of 300 simulations, 1.3%; the command measures it more exactly."""
    assert 0.90 <= coverage.coverage(case, n, 300) <= 0.99


def test_the_true_kernel_mean_of_the_simulations_is_that_of_large_samples() -> None:
    x, y = coverage.Gamma(3, 4.0, shift=-1, scale=0.7), coverage.Gamma(3, 2.0, scale=0.8, shift=0.2)
    for first, second in ((x, x), (x, y), (y, coverage.Gamma(3, np.inf, scale=2.0, shift=-1.0))):
        random = np.random.default_rng(0)
        a, b = first.sample(random, 500_000), second.sample(random, 500_000)
        estimate = ((np.sum(a * b, 1) / 3 + 1) ** 3).mean()
        assert coverage.mean_kernel(first, second) == pytest.approx(estimate, rel=0.02)
