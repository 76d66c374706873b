"""Reflection padding: the same pixels and gradients with and without deterministic algorithms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.networks import padding
from models.networks.padding import ReflectionPad2d, reflect

WIDTHS = [(1, 1, 1, 1), (3, 3, 3, 3), (0, 2, 4, 1), (0, 0, 0, 0)]


def deterministic(x: torch.Tensor, widths: padding.Widths) -> torch.Tensor:
    """What `reflect` computes on a GPU under --deterministic."""
    return padding._DeterministicReflection.apply(x, widths)


@pytest.mark.parametrize("widths", WIDTHS)
def test_pixels_and_gradients(widths: tuple[int, int, int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=random, requires_grad=True)
    expected = F.pad(x, widths, mode="reflect")
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=random)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), x)
    for pad in (reflect, deterministic):
        found = pad(x, widths)
        assert torch.equal(found, expected)
        (gradient,) = torch.autograd.grad((found * weights).sum(), x)
        torch.testing.assert_close(gradient, wanted, rtol=1e-14, atol=1e-14)


def test_the_deterministic_gradient_is_right_and_has_a_gradient() -> None:
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    for widths in WIDTHS:
        widths = tuple(min(width, 3) for width in widths)
        assert torch.autograd.gradcheck(lambda x, widths=widths: deterministic(x, widths), x)
        assert torch.autograd.gradgradcheck(lambda x, widths=widths: deterministic(x, widths).square(), x)


def test_it_compiles() -> None:
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    compiled = torch.compile(deterministic, backend="aot_eager", fullgraph=True)
    (wanted,) = torch.autograd.grad(deterministic(x, (1, 2, 3, 4)).square().sum(), x)
    (found,) = torch.autograd.grad(compiled(x, (1, 2, 3, 4)).square().sum(), x)
    torch.testing.assert_close(found, wanted)


def test_the_layer_is_torchs() -> None:
    x = torch.randn(2, 3, 6, 5)
    assert torch.equal(ReflectionPad2d(2)(x), torch.nn.ReflectionPad2d(2)(x)) and not ReflectionPad2d(2).state_dict()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("widths", WIDTHS)
def test_gradients_on_a_gpu_are_deterministic(widths: tuple[int, int, int, int]) -> None:
    x = torch.randn(4, 64, 64, 64, device="cuda", requires_grad=True)
    plain = reflect(x, widths)
    weights = torch.randn(plain.shape, device="cuda")
    torch.use_deterministic_algorithms(True)
    try:
        gradients = [torch.autograd.grad((reflect(x, widths) * weights).sum(), x)[0] for _ in range(5)]
        assert torch.equal(reflect(x, widths), plain)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
