"""Metrics for single images, and their means over a test set.

To add a metric, add an entry to METRICS: its fields are those of Metric. `find_metric` also finds a Metric of your own,
outside this file, as package.module:name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor

from util.errors import UserError
from util.registry import import_outside

SSIM_WINDOW = 7  # pixels


def mean_absolute_error(image: Tensor, truth: Tensor) -> float:
    """Mean of |image - truth| over all values; 0..1 for images with values in 0..1."""
    return float((image.double() - truth.double()).abs().mean())


def structural_similarity(image: Tensor, truth: Tensor) -> float:
    """SSIM (Wang et al. 2004) of images (C, H, W) with values in 0..1, mean over channels; 1 for equal images.

    The defaults of scikit-image: uniform 7x7 windows inside the image, sample covariance, K1 = 0.01, K2 = 0.03.
    """
    x, y = image.double().unsqueeze(1), truth.double().unsqueeze(1)

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, SSIM_WINDOW, stride=1)

    unbias = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = unbias * (mean(x * x) - mean_x**2), unbias * (mean(y * y) - mean_y**2)
    covariance = unbias * (mean(x * y) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    ssim = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(ssim.mean())


@dataclass(frozen=True)
class Metric:
    """The specification of a metric that scores single images."""

    name: str
    """For `find_metric`."""
    key: str
    """In metrics.json."""
    label: str
    """In printed text."""
    compute: Callable[..., float]
    """Takes an image (C, H, W) with values in 0..1 and, if `needs_pairs`, its ground truth of the same shape."""
    value_range: tuple[float, float]
    higher_is_better: bool
    needs_pairs: bool = True
    """Whether it compares with ground truth; else it scores every generated image."""
    smallest_image: int = 1
    """Smallest width and height, in pixels; smaller images are not scored."""
    digits: int = 4
    """Decimals in printed text."""


METRICS: Sequence[Metric] = (
    Metric("mae", "mean_absolute_error", "mean absolute error", mean_absolute_error, (0, 1), higher_is_better=False),
    Metric(
        "ssim",
        "ssim",
        "SSIM",
        structural_similarity,
        (-1, 1),
        higher_is_better=True,
        smallest_image=SSIM_WINDOW,
        digits=3,
    ),
)


def find_metric(name: str) -> Metric:
    """The metric of that name in METRICS, or anywhere as package.module:name. Raises UserError if there is none."""
    if ":" in name:
        found = import_outside("metric", name)
        if not isinstance(found, Metric):
            raise UserError(f"metric {name}: expected a util.evaluation.metrics.Metric, not {type(found).__name__}")
        return found
    for metric in METRICS:
        if metric.name == name:
            return metric
    known = ", ".join(metric.name for metric in METRICS)
    raise UserError(f"unknown metric {name}: choose one of {known}, or your own as package.module:name")


@dataclass
class Scores:
    """Scores of the images of a test set, by visual. Images are compared as 8-bit files would store them."""

    metrics: Sequence[Metric] = METRICS
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By visual, then by the metric's key."""
    counts: dict[str, int] = field(default_factory=dict)
    """Images added, by visual."""

    @property
    def has_unpaired_metrics(self) -> bool:
        return any(not metric.needs_pairs for metric in self.metrics)

    def add(self, visual: str, image: Tensor, truth: Tensor | None = None) -> None:
        """Score an image (C, H, W) in [-1, 1], and compare it with its ground truth, of the same shape, if given."""
        self.counts[visual] = self.counts.get(visual, 0) + 1
        image = _eight_bit(image)
        pair = [image] if truth is None else [image, _eight_bit(truth)]
        for metric in self.metrics:
            if min(image.shape[-2:]) < metric.smallest_image or (metric.needs_pairs and truth is None):
                continue
            score = metric.compute(*(pair if metric.needs_pairs else [image]))
            self.values.setdefault(visual, {}).setdefault(metric.key, []).append(score)

    def merge(self, values: Mapping[str, Mapping[str, Sequence[float]]], counts: Mapping[str, int]) -> None:
        """Add the scores of another rank."""
        for visual, count in counts.items():
            self.counts[visual] = self.counts.get(visual, 0) + count
            for key, scores in values.get(visual, {}).items():
                self.values.setdefault(visual, {}).setdefault(key, []).extend(scores)

    def means(self) -> dict[str, dict[str, float]]:
        """By visual: the number of images as "images", and the mean of each metric by its key."""
        means: dict[str, dict[str, float]] = {}
        for visual, count in self.counts.items():
            scores = self.values.get(visual, {})
            keys = [metric.key for metric in self.metrics if metric.key in scores]
            means[visual] = {"images": count} | {key: sum(scores[key]) / len(scores[key]) for key in keys}
        return means


def _eight_bit(image: Tensor) -> Tensor:
    """[-1, 1] to 0..1, in the steps of 8 bits."""
    return ((image.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255) / 255


def describe(means: Mapping[str, float], metrics: Sequence[Metric] = METRICS) -> str:
    """The mean scores of a visual as text."""
    return ", ".join(
        f"{metric.label} {means[metric.key]:.{metric.digits}f}" for metric in metrics if metric.key in means
    )
