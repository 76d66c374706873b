"""Lab against scikit-image, and the inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import color
from torch import Tensor

from util.lab import lab_to_rgb, rgb_to_lab


def every_color(step: int) -> Tensor:
    """uint8 (3, H, W): all of sRGB whose red is a multiple of `step`."""
    red, green, blue = np.meshgrid(np.arange(0, 256, step), np.arange(256), np.arange(256), indexing="ij")
    return torch.from_numpy(np.stack([red, green, blue]).reshape(3, -1, 256).astype(np.uint8))


def test_known_colors() -> None:
    """White, black and red, from published tables of sRGB in Lab (D65)."""
    rgb = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0]], dtype=torch.float64).T[:, None]
    expected = np.array([[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]])
    np.testing.assert_allclose(rgb_to_lab(rgb)[:, 0].T.numpy(), expected, atol=0.01)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_lab_agrees_with_scikit_image(dtype: torch.dtype, error: float) -> None:
    colors = every_color(step=15).permute(1, 2, 0).numpy()
    made = rgb_to_lab(torch.from_numpy(colors).permute(2, 0, 1).to(dtype) / 255).permute(1, 2, 0).numpy()
    difference = np.abs(made - color.rgb2lab(colors)).max(axis=-1)
    # For dark colors, scikit-image has the slope 7.787 of older CIE tables, not 7.78704.
    dark = (color.rgb2xyz(colors) / color.xyz_tristimulus_values(illuminant="D65", observer="2")).min(axis=-1) < 0.0089
    assert 0 < dark.mean() < 0.3
    assert difference[~dark].max() < error
    assert difference[dark].max() < 2e-4


def test_the_inverse_agrees_with_scikit_image_and_clips_to_srgb() -> None:
    random = np.random.default_rng(0)
    lab = random.uniform([0, -110, -110], [100, 110, 110], (64, 64, 3))
    with pytest.warns(UserWarning, match="negative Z"):  # scikit-image warns about impossible colors
        expected = color.lab2rgb(lab)
        possible = color.lab2xyz(lab).min(axis=-1) > 0  # scikit-image clips the others before the end
    made = lab_to_rgb(torch.from_numpy(lab).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    assert 0.5 < possible.mean() < 1
    assert np.abs(made - expected)[possible].max() < 1e-4
    assert made.min() == 0 and made.max() == 1


def test_every_color_comes_back_exactly() -> None:
    for colors in every_color(step=1).chunk(16, dim=1):  # all 2 ** 24
        back = lab_to_rgb(rgb_to_lab(colors.float() / 255))
        assert torch.equal((back * 255).round().to(torch.uint8), colors)


def test_batches_and_gradients() -> None:
    random = np.random.default_rng(0)
    rgb = torch.from_numpy(random.uniform(0, 1, (2, 3, 4, 5))).requires_grad_()
    lab = rgb_to_lab(rgb)
    assert torch.equal(lab[1], rgb_to_lab(rgb[1]))
    torch.testing.assert_close(lab_to_rgb(lab), rgb)
    assert torch.autograd.gradcheck(rgb_to_lab, [rgb[:1, :, :1, :2].detach().requires_grad_()])
