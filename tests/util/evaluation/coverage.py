"""How often 95% confidence intervals contain the true value: simulations with known truth.

python -m tests.util.evaluation.coverage                  # the table of docs/evaluation.md, ten minutes
python -m tests.util.evaluation.coverage --simulations 200
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np

from util.evaluation.extractors import create, resolve
from util.evaluation.intervals import Groups, difference_interval, jackknife_interval, mean_interval
from util.evaluation.metric import Interval
from util.evaluation.pair_metrics import MAE
from util.evaluation.set_metrics import KID, frechet_distance, kernel, kernel_interval

Random = np.random.Generator
COUNTS = (50, 120, 500)


@dataclass(frozen=True)
class Gamma:
    """Features with independent coordinates: gamma variables of a shape, scaled and shifted; Gaussian for shape inf."""

    dimensions: int
    shape: float
    scale: float = 1.0
    shift: float = 0.0

    def sample(self, random: Random, n: int) -> np.ndarray:
        size = (n, self.dimensions)
        if self.shape == np.inf:
            return np.asarray(random.normal(self.shift, self.scale, size))
        return self.shift + self.scale * random.gamma(self.shape, size=size)

    def cumulants(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each coordinate: mean, variance, third cumulant."""
        k = 0 if self.shape == np.inf else self.shape
        values = (self.shift + k * self.scale, (k or 1) * self.scale**2, 2 * k * self.scale**3)
        return tuple(np.full(self.dimensions, value) for value in values)  # type: ignore[return-value]


def mean_kernel(x: Gamma, y: Gamma) -> float:
    """The expectation of (x'y / d + 1)^3 for independent x and y, from the moments of their coordinates."""
    (a, s, k), (b, r, q) = x.cumulants(), y.cumulants()
    ab = a @ b
    square = ab**2 + (a * a) @ r + (b * b) @ s + s @ r
    cube = (
        ab**3
        + 3 * ab * ((a * a) @ r + (b * b) @ s + s @ r)
        + 6 * ((a * b) @ (s * r))
        + k @ (b**3 + 3 * r * b)
        + q @ (a**3 + 3 * s * a)
        + k @ q
    )
    d = x.dimensions
    return float(1 + 3 * ab / d + 3 * square / d**2 + cube / d**3)


def true_kid(x: Gamma, y: Gamma) -> float:
    """1000 times the squared maximum mean discrepancy of two distributions."""
    return 1000 * (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))


@dataclass(frozen=True)
class Case:
    """A figure whose true value is known, and its interval from a sample."""

    name: str
    truth: float
    interval: Callable[[Random, int], Interval | None]


def scores(name: str, draw: Callable[[Random, int], np.ndarray], truth: float) -> Case:
    return Case(f"mean score, {name}", truth, lambda random, n: mean_interval(draw(random, n)))


def paired_scores() -> Case:
    """Two systems on the same images: errors that an image's difficulty has in common, of means 2.2 and 2."""

    def interval(random: Random, n: int) -> Interval | None:
        difficulty = random.gamma(2.0, size=n)
        first, second = (difficulty * random.lognormal(0, 0.3, n) * factor for factor in (1.1, 1.0))
        return difference_interval(MAE, first, second)

    return Case("difference of mean scores", 0.2 * np.exp(0.3**2 / 2), interval)


def kid(name: str, x: Gamma, y: Gamma) -> Case:
    def interval(random: Random, n: int) -> Interval | None:
        return kernel_interval(x.sample(random, n), y.sample(random, n))

    return Case(f"KID, {name}", true_kid(x, y), interval)


def kid_difference() -> Case:
    """Two systems whose features of the same image are correlated."""
    x, y = Gamma(32, 1.0), Gamma(32, 1.0, shift=0.4)

    def interval(random: Random, n: int) -> Interval | None:
        common = x.sample(random, n)
        swap = random.random((n, 1)) < 0.3  # translations of an image that have nothing in common
        other = np.where(swap, x.sample(random, n), common) * 1.2
        return difference_interval(KID, common, other, y.sample(random, n))

    return Case("difference of KID", true_kid(x, y) - true_kid(Gamma(32, 1.0, scale=1.2), y), interval)


def fid() -> Case:
    """The jackknife interval that FID would have. Its truth is that of two Gaussians with covariances I."""
    x, y = Gamma(16, np.inf), Gamma(16, np.inf, shift=0.5)

    def interval(random: Random, n: int) -> Interval | None:
        a, b = x.sample(random, n), y.sample(random, n)
        groups: Groups = (
            np.array([frechet_distance(np.delete(a, i, 0), b) for i in range(n)]),
            np.array([frechet_distance(a, np.delete(b, i, 0)) for i in range(n)]),
        )
        return jackknife_interval(frechet_distance(a, b), groups)

    return Case("FID, jackknife (not offered)", 16 * 0.5**2, interval)


def map_tiles() -> Case:
    """Features of real images: all satellite tiles and all map tiles of a dataset, from which samples are drawn."""
    from data.formats.image_reader import read_image
    from scripts import make_map_dataset

    extractor = create(resolve("lite0", None), "clean", "cpu")
    assert extractor is not None
    with TemporaryDirectory() as folder:
        with patch("sys.argv", ["", "--out", folder + "/maps"]), redirect_stdout(io.StringIO()):
            make_map_dataset.main()
        x, y = (
            np.array([extractor(read_image(path, 3) / 255) for path in sorted(Path(folder, "maps", room).iterdir())])
            for room in ("trainA", "trainB")
        )
    truth = kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()

    def interval(random: Random, n: int) -> Interval | None:
        return kernel_interval(x[random.integers(0, len(x), n)], y[random.integers(0, len(y), n)])

    return Case("KID, Lite0 features of satellite and map tiles", 1000 * float(truth), interval)


CASES = (
    scores("normal", lambda random, n: random.normal(0.5, 0.1, n), 0.5),
    scores("beta(2, 5), skewness 0.6", lambda random, n: random.beta(2, 5, n), 2 / 7),
    scores("gamma(2), skewness 1.4", lambda random, n: random.gamma(2, size=n), 2.0),
    scores("log-normal, skewness 1.8", lambda random, n: random.lognormal(0, 0.5, n), float(np.exp(0.125))),
    paired_scores(),
    kid("64 Gaussian features", Gamma(64, np.inf, shift=1.0), Gamma(64, np.inf, shift=1.3)),
    kid("64 skewed features", Gamma(64, 0.5), Gamma(64, 0.5, shift=0.3)),
    kid("8 skewed features", Gamma(8, 2.0), Gamma(8, 2.0, shift=0.7)),
    kid_difference(),
)
# Beyond what the intervals can do: a few images hold most of the kernel's sum.
OUTLIERS = kid("8 features with outliers", Gamma(8, 0.5), Gamma(8, 0.5, scale=1.6))


def coverage(case: Case, n: int, simulations: int) -> float:
    """The part of the simulations in which the interval contains the truth."""
    hits = 0
    for i in range(simulations):
        interval = case.interval(np.random.default_rng((i, n)), n)
        assert interval is not None
        hits += interval[0] <= case.truth <= interval[1]
    return hits / simulations


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="of each case and number of images")
    count = parser.parse_args(arguments).simulations
    print("| figure |" + "".join(f" {n} images |" for n in COUNTS))
    print("|---|" + "---|" * len(COUNTS))
    for case, simulations in (
        *((case, count) for case in (*CASES, map_tiles(), OUTLIERS)),
        (fid(), max(1, count // 20)),  # thousands of decompositions each
    ):
        found = [f" {100 * coverage(case, n, simulations):.1f}% |" for n in COUNTS]
        print(f"| {case.name} |" + "".join(found), flush=True)


if __name__ == "__main__":
    main()
