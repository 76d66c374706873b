"""Metrics that compare a translation with its ground truth, pixel by pixel or window by window."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from util.evaluation.metric import Metric, Needs

SSIM_WINDOW = 7  # pixels
LARGEST_PSNR = 100.0  # dB


def mean_absolute_error(image: Tensor, truth: Tensor) -> float:
    """Mean of |image - truth| over all values; 0..1 for images with values in 0..1."""
    return float((image.double() - truth.double()).abs().mean())


def peak_signal_to_noise_ratio(image: Tensor, truth: Tensor) -> float:
    """-10 log10 of the mean squared error of images in 0..1, in dB, at most 100 dB.

    The bound is near the PSNR of a 256x256 image in which one 8-bit value differs by 1. Without it, one translation
    that equals its ground truth, such as an empty map tile, would make the mean infinite.
    """
    error = float((image.double() - truth.double()).square().mean())
    return min(LARGEST_PSNR, -10 * math.log10(error)) if error > 0 else LARGEST_PSNR


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


MAE = Metric(
    "mae",
    "mean_absolute_error",
    "mean absolute error",
    Needs.PAIR,
    mean_absolute_error,
    (0, 1),
    higher_is_better=False,
)
PSNR = Metric(
    "psnr",
    "psnr",
    "PSNR (dB)",
    Needs.PAIR,
    peak_signal_to_noise_ratio,
    (0, LARGEST_PSNR),
    higher_is_better=True,
    digits=2,
)
SSIM = Metric(
    "ssim",
    "ssim",
    "SSIM",
    Needs.PAIR,
    structural_similarity,
    (-1, 1),
    higher_is_better=True,
    smallest_image=SSIM_WINDOW,
    digits=3,
)
