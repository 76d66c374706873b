"""Losses against expected values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.objectives.losses import color_loss, discriminator_loss, gan_loss, gradient_penalty

LOGITS = torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=torch.float64)


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


@pytest.mark.parametrize(
    ("gan_mode", "real", "expected"),
    [
        ("lsgan", True, (0.25 + 4 + 1 + 1) / 4),
        ("lsgan", False, (0.25 + 1 + 4 + 0) / 4),
        ("vanilla", True, (softplus(-0.5) + softplus(1) + softplus(-2) + softplus(0)) / 4),
        ("vanilla", False, (softplus(0.5) + softplus(-1) + softplus(2) + softplus(0)) / 4),
        ("wgangp", True, -0.375),
        ("wgangp", False, 0.375),
    ],
)
def test_gan_loss(gan_mode: str, real: bool, expected: float) -> None:
    assert gan_loss(LOGITS, real, gan_mode).item() == pytest.approx(expected, rel=1e-12)


def test_an_unknown_gan_mode_is_an_error() -> None:
    with pytest.raises(ValueError, match="hinge"):
        gan_loss(LOGITS, True, "hinge")


class Linear(nn.Module):
    """D(x) = <slope, x>, one logit for each image; its gradient is the slope everywhere."""

    def __init__(self, length: float) -> None:
        super().__init__()
        slope = torch.arange(1.0, 13.0, dtype=torch.float64).view(3, 2, 2)
        self.slope = nn.Parameter(slope / slope.norm() * length)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.slope).sum((1, 2, 3))


REAL = torch.full((2, 3, 2, 2), 0.5, dtype=torch.float64)
FAKE = torch.full((2, 3, 2, 2), -0.25, dtype=torch.float64)


@pytest.mark.parametrize(("length", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.5, 0.25)])
def test_gradient_penalty_matches_its_equation(length: float, expected: float) -> None:
    penalty = gradient_penalty(Linear(length), REAL, FAKE)
    assert penalty.item() == pytest.approx(expected, abs=1e-12)


def test_gradient_of_the_gradient_penalty() -> None:
    netD = Linear(3.0)
    gradient_penalty(netD, REAL, FAKE).backward()
    # d/ds (|s| - 1)^2 = 2 (|s| - 1) s / |s|
    torch.testing.assert_close(netD.slope.grad, 2 * 2 * netD.slope.detach() / 3)


def test_gradient_penalty_interpolates_between_real_and_fake() -> None:
    seen = []

    def netD(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.sum((1, 2, 3))

    torch.manual_seed(0)
    gradient_penalty(netD, REAL, FAKE)
    (mixed,) = seen
    assert ((mixed > FAKE) & (mixed < REAL)).all()
    assert mixed.flatten(1).std(1).max() < 1e-12  # one alpha for each image ...
    assert mixed[0, 0, 0, 0] != mixed[1, 0, 0, 0]  # ... which differs between images


def test_gradient_penalty_accepts_batches_of_different_sizes() -> None:
    assert gradient_penalty(Linear(3.0), REAL, FAKE[:1]).item() == pytest.approx(4.0)


@pytest.mark.parametrize("gan_mode", ["lsgan", "vanilla"])
def test_discriminator_loss_is_half_the_sum_of_real_and_fake(gan_mode: str) -> None:
    netD = Linear(3.0)
    expected = (gan_loss(netD(REAL), True, gan_mode) + gan_loss(netD(FAKE), False, gan_mode)) / 2
    assert discriminator_loss(netD, REAL, FAKE, gan_mode, lambda_gp=10).item() == pytest.approx(expected.item())


def test_discriminator_loss_of_wgangp_includes_the_penalty() -> None:
    netD = Linear(3.0)
    expected = (netD(FAKE).mean() - netD(REAL).mean()).item() / 2
    assert discriminator_loss(netD, REAL, FAKE, "wgangp", lambda_gp=10).item() == pytest.approx(expected + 40)
    assert discriminator_loss(netD, REAL, FAKE, "wgangp", lambda_gp=0).item() == pytest.approx(expected)


def test_discriminator_loss_gives_the_generator_no_gradient() -> None:
    fake = FAKE.clone().requires_grad_()
    netD = Linear(3.0)
    discriminator_loss(netD, REAL, fake * 1, "wgangp", lambda_gp=10).backward()
    assert fake.grad is None
    assert netD.slope.grad is not None and netD.slope.grad.abs().sum() > 0


def colors(seed: int, amplitude: float = 1, count: int = 2, rows: int = 4, columns: int = 6) -> Tensor:
    """Images of uniform 4x4 squares with random colors in [-amplitude, amplitude]."""
    squares = np.random.default_rng(seed).uniform(-amplitude, amplitude, (count, 3, rows, columns))
    return torch.from_numpy(squares.repeat(4, axis=2).repeat(4, axis=3))


@pytest.mark.parametrize(("amplitude", "tolerance"), [(1, 1e-4), (0.1, 5e-3)])
def test_color_loss_matches_numpy_correlation(amplitude: float, tolerance: float) -> None:
    source = colors(0, amplitude)
    output = (source + colors(1, amplitude)) / 2
    output = output + torch.from_numpy(np.random.default_rng(2).uniform(-0.1, 0.1, output.shape)) * amplitude

    def places(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        n, _, h, w = images.shape
        red, green, blue = images.numpy().reshape(n, 3, h // 4, 4, w // 4, 4).mean((3, 5)).transpose(1, 0, 2, 3)
        return (blue - red).ravel(), (green - (red + blue) / 2).ravel()

    pairs = zip(places(output), places(source), strict=True)
    expected = 1 - np.mean([np.corrcoef(x, y)[0, 1] for x, y in pairs])
    assert 0.1 < expected < 0.9
    assert color_loss(output, source).item() == pytest.approx(expected, abs=tolerance)


def test_color_loss_ignores_brightness_contrast_and_fine_texture() -> None:
    source, gray = colors(0) / 2, colors(1)[:, :1]
    fine = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(12) * 0.5  # alternating light and dark columns
    bent = source + fine * torch.tensor([1.0, 0, -1])[:, None, None]
    for output in (source, 0.2 * source, 0.7 * source + gray + 0.2, bent):
        assert color_loss(output, source).item() == pytest.approx(0, abs=5e-3)
    assert color_loss(-source, source).item() == pytest.approx(2, abs=5e-3)


def test_color_loss_of_a_gray_output_is_one_with_bounded_gradient() -> None:
    output = torch.zeros(2, 3, 16, 24, dtype=torch.float64, requires_grad=True)
    loss = color_loss(output, colors(0))
    loss.backward()
    assert loss.item() == 1
    assert output.grad is not None and 0.1 < output.grad.norm() < 20


def test_color_loss_of_a_single_position_is_one() -> None:
    output = colors(0, rows=1, columns=1, count=1)[..., :2, :3].clone().requires_grad_()
    loss = color_loss(output, colors(1, rows=1, columns=1, count=1)[..., :2, :3])
    loss.backward()
    assert loss.item() == 1
    assert output.grad is not None and output.grad.isfinite().all()


def test_color_loss_is_computed_in_float32() -> None:
    output, source = colors(0).bfloat16(), colors(1).bfloat16()
    assert color_loss(output, source).dtype == torch.float32
    assert torch.equal(color_loss(output, source), color_loss(output.float(), source.float()))


def test_minimizing_the_color_loss_restores_swapped_colors() -> None:
    source = colors(0, count=30, rows=1, columns=1)
    output = (colors(1, 0.1, count=30, rows=1, columns=1) - source).requires_grad_()  # opponent colors swapped
    optimizer = torch.optim.Adam([output], lr=0.05)
    before = color_loss(output, source).item()
    for _ in range(100):
        loss = color_loss(output, source)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before > 1.9 and loss.item() < 0.1
