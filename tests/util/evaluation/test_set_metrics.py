"""Metrics of sets against closed forms, double sums and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from util.evaluation import set_metrics
from util.evaluation.set_metrics import FID, KID, frechet_distance, kernel_distance, precision, recall


def with_moments(mean: np.ndarray, covariance: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n vectors whose sample mean and covariance are exactly these."""
    values = np.random.default_rng(seed).normal(size=(n, len(mean)))
    values -= values.mean(0)
    white = values @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_fid_of_gaussians_is_the_closed_form() -> None:
    random = np.random.default_rng(0)
    first, second = (a @ a.T + np.eye(5) for a in random.normal(size=(2, 5, 5)))
    x, y = with_moments(np.zeros(5), first, 40, 1), with_moments(np.arange(5.0), second, 70, 2)
    # The eigenvalues of a product of two covariances are real and positive.
    root = np.sqrt(np.linalg.eigvals(first @ second).real).sum()
    expected = 30 + np.trace(first) + np.trace(second) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected)
    assert frechet_distance(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(expected, rel=1e-5)
    # Axes on their own: sum of (difference of means)^2 + (difference of deviations)^2.
    x, y = with_moments(np.zeros(2), np.diag([4.0, 9.0]), 9, 3), with_moments(np.ones(2), np.diag([1.0, 25.0]), 8, 4)
    assert frechet_distance(x, y) == pytest.approx(1 + 1 + 1 + 4)


def test_fid_with_fewer_images_than_features() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(6, 30)), random.normal(1, 2, size=(8, 30))
    first, second = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first + second) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert FID.warn_below == 2000 and FID.interval is None


def test_kid_is_the_double_sum() -> None:
    random = np.random.default_rng(2)
    x, y = random.normal(size=(5, 3)), random.normal(1, 1, size=(7, 3))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((sum(p * q for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3)

    within = [sum(k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j) for z in (x, y)]
    across = sum(k(a, b) for a in x for b in y)
    expected = 1000 * (within[0] / (5 * 4) + within[1] / (7 * 6) - 2 * across / (5 * 7))
    assert kernel_distance(x, y) == pytest.approx(expected)


def test_kid_by_hand() -> None:
    # One feature: k(x, y) = (x y + 1)^3. Two translations at 0 and 1, two real images at 1: 1, (8), 8 - 2 * (1 + 8) / 2
    assert kernel_distance(np.array([[0.0], [1.0]]), np.array([[1.0], [1.0]])) == pytest.approx(1000 * (1 + 8 - 9))
    assert kernel_distance(np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]])) == pytest.approx(1000 * (1 + 8 - 2))


def test_kid_has_no_bias() -> None:
    random = np.random.default_rng(3)
    values = [kernel_distance(*random.normal(size=(2, 10, 4))) for _ in range(2000)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    assert 0.3 < np.mean(np.array(values) < 0) < 0.7


def test_precision_and_recall_by_hand() -> None:
    # Each real image has its third nearest neighbor at 3, 2, 2, 3: the intervals cover -3..6.
    reals = np.array([[0.0], [1.0], [2.0], [3.0]])
    # Radii of the translations: 94, 93.5, 93.5, 94 and 96: all real images are within those of 5.5 and 6.
    fakes = np.array([[-2.9], [6.0], [5.5], [6.1], [100.0]])
    assert precision(fakes, reals) == pytest.approx(3 / 5)
    # 6.0: distances 0.1, 0.5, 8.9; 5.5: 0.5, 0.6, 8.4; -2.9: 8.4, 8.9, 9.0; all reach 0..3.
    assert recall(fakes, reals) == 1
    far = np.array([[10.0], [10.1], [10.2], [10.3], [1.0]])
    # 1.0 reaches 9.2 to both sides; each of the others 0.2 or 0.3.
    assert precision(far, reals) == pytest.approx(1 / 5)
    assert recall(far, reals) == 1
    assert recall(far[:4], reals) == precision(far[:4], reals) == 0
    # A set that covers half of the other's range: all near it, half of it reached.
    halves = np.array([[float(i)] for i in range(20)])
    assert precision(halves[:8], halves) == 1
    assert recall(halves[:8], halves) == pytest.approx(11 / 20)  # 0..7, and from 7 on up to 7 + 3


def test_blocks_of_large_sets_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    x, y = random.normal(size=(23, 6)), random.normal(0.3, 1, size=(17, 6))
    figures = (kernel_distance, KID.interval, precision, recall)
    whole = [figure(x, y) for figure in figures if figure]
    monkeypatch.setattr(set_metrics, "BLOCK", 5)
    for figure, expected in zip(figures, whole, strict=True):
        assert figure is not None and figure(x, y) == pytest.approx(expected)
    assert 0 < whole[2] < 1  # type: ignore[operator]
