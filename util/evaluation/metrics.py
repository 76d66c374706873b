"""How near a translation is to the ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor

WINDOW = 7  # width of SSIM's window, in pixels; smaller images have no SSIM


def mean_absolute_error(image: Tensor, truth: Tensor) -> float:
    """Mean of |image - truth| over all values; 0..1 for images with values in 0..1."""
    return float((image.double() - truth.double()).abs().mean())


def structural_similarity(image: Tensor, truth: Tensor) -> float:
    """SSIM (Wang et al. 2004) of images (C, H, W) with values in 0..1, mean over channels; 1 for equal images.

    As scikit-image has it by default: uniform 7x7 windows that lie wholly inside the image, sample covariance,
    K1 = 0.01, K2 = 0.03.
    """
    x, y = image.double().unsqueeze(1), truth.double().unsqueeze(1)

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, WINDOW, stride=1)

    unbias = WINDOW**2 / (WINDOW**2 - 1)
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = unbias * (mean(x * x) - mean_x**2), unbias * (mean(y * y) - mean_y**2)
    covariance = unbias * (mean(x * y) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    ssim = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(ssim.mean())


@dataclass
class Scores:
    """Means over a test set, for each visual that has ground truth. Images are compared as 8-bit files hold them."""

    errors: dict[str, list[float]] = field(default_factory=dict)
    similarities: dict[str, list[float]] = field(default_factory=dict)

    def add(self, visual: str, image: Tensor, truth: Tensor) -> None:
        """Compare an image (C, H, W) in [-1, 1] with its ground truth of the same size."""
        image, truth = _eight_bit(image), _eight_bit(truth)
        self.errors.setdefault(visual, []).append(mean_absolute_error(image, truth))
        if min(image.shape[-2:]) >= WINDOW:
            self.similarities.setdefault(visual, []).append(structural_similarity(image, truth))

    def take(self, others: Scores) -> None:
        """Count the images of others, too."""
        for own, theirs in ((self.errors, others.errors), (self.similarities, others.similarities)):
            for visual, values in theirs.items():
                own.setdefault(visual, []).extend(values)

    def means(self) -> dict[str, dict[str, float]]:
        """{visual: {"mean_absolute_error" (of 0..1), "ssim", "images"}}."""
        means: dict[str, dict[str, float]] = {}
        for visual, errors in self.errors.items():
            means[visual] = {"images": len(errors), "mean_absolute_error": sum(errors) / len(errors)}
            if similarities := self.similarities.get(visual):
                means[visual]["ssim"] = sum(similarities) / len(similarities)
        return means


def _eight_bit(image: Tensor) -> Tensor:
    """[-1, 1] to 0..1, in the steps of 8 bits."""
    return ((image.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255) / 255


def in_words(means: dict[str, float]) -> str:
    """Scores of a visual as a phrase."""
    words = f"mean absolute error {means['mean_absolute_error']:.4f}"
    return words + (f", SSIM {means['ssim']:.3f}" if "ssim" in means else "")
