"""Scores of pairs against scikit-image and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as reference
from torch import Tensor

from util.evaluation.pair_metrics import mean_absolute_error, peak_signal_to_noise_ratio, structural_similarity


def images(channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A picture and a noisy version of it, in 0..1."""
    random = np.random.default_rng(channels * height + width)
    rows, columns = np.mgrid[:height, :width] / 10
    picture = np.stack([np.sin(rows + i) * np.cos(columns - i) for i in range(channels)]) / 2 + 0.5
    noisy = (picture + random.normal(0, 0.15, picture.shape)).clip(0, 1)
    return torch.from_numpy(picture).float(), torch.from_numpy(noisy).float()


@pytest.mark.parametrize("shape", [(3, 20, 31), (1, 7, 7), (3, 64, 8)])
def test_ssim_and_psnr_are_those_of_scikit_image(shape: tuple[int, int, int]) -> None:
    x, y = images(*shape)
    a, b = x.double().numpy(), y.double().numpy()
    assert structural_similarity(x, y) == pytest.approx(reference(a, b, channel_axis=0, data_range=1.0), abs=1e-10)
    assert structural_similarity(x, x) == pytest.approx(1.0, abs=1e-12)
    assert peak_signal_to_noise_ratio(x, y) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1.0))


def test_ssim_of_flat_images_by_hand() -> None:
    black, gray = torch.zeros(1, 9, 9), torch.full((1, 9, 9), 0.5)
    assert structural_similarity(black, gray) == pytest.approx(0.0001 / (0.25 + 0.0001))


def test_errors_by_hand() -> None:
    x = torch.tensor([[[0.0, 0.5], [1.0, 0.25]]])
    y = torch.tensor([[[0.5, 0.5], [0.0, 0.0]]])
    assert mean_absolute_error(x, y) == pytest.approx((0.5 + 0 + 1 + 0.25) / 4)
    assert peak_signal_to_noise_ratio(x, y) == pytest.approx(10 * math.log10(4 / (0.25 + 1 + 0.0625)))
    assert peak_signal_to_noise_ratio(x, x) == peak_signal_to_noise_ratio(x, x + 1e-7) == 100
