"""Convolutions with other algorithms, against torch's convolutions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import convolutions, winograd
from models.networks.convolutions import Convolution3x3, OutputConvolution, UpConvolution
from models.networks.generators import create_generator
from models.networks.layers import InstanceNorm2d


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().abs().max() / expected.detach().abs().max())


def with_gradients(
    function: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, gradient: Tensor
) -> list[Tensor]:
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = function(x, weight)
    return [y, *torch.autograd.grad(y, (x, weight), gradient)]


def test_winograd_of_a_single_tile() -> None:
    # A filter whose only 1 is in row 1 and column 2 shifts the image.
    x = torch.arange(36.0).view(1, 1, 6, 6)
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 2] = 1.0
    assert torch.allclose(winograd.convolve(x, weight)[0, 0], x[0, 0, 1:5, 2:6], atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (2, 3, 6, 6), (1, 2, 7, 12), (2, 5, 9, 11), (1, 4, 17, 5)])
def test_winograd_in_float64_matches_direct_convolution(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    x, weight = torch.randn(shape, dtype=torch.float64), torch.randn(4, shape[1], 3, 3, dtype=torch.float64)
    gradient = torch.randn(shape[0], 4, shape[2] - 2, shape[3] - 2, dtype=torch.float64)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = with_gradients(winograd.convolve, x.contiguous(memory_format=layout), weight, gradient)
        for one, other in zip(found, with_gradients(F.conv2d, x, weight, gradient), strict=True):
            assert torch.allclose(one, other, rtol=0, atol=1e-11)


def test_second_derivatives_are_an_error() -> None:
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        winograd.convolve(x, torch.randn(2, 2, 3, 3)).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_winograd_passes_gradcheck() -> None:
    torch.manual_seed(2)
    x = torch.randn(2, 3, 7, 9, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(winograd.convolve, (x, weight, bias))


@pytest.mark.parametrize("channels", [64, 256])
def test_winograd_error_in_float32_is_small(channels: int) -> None:
    """The errors of the output and both gradients are below 5e-5 of the largest value; measured: 1e-5 to 2e-5."""
    torch.manual_seed(3)
    x, weight = torch.randn(1, channels, 34, 34), 0.02 * torch.randn(channels, channels, 3, 3)
    gradient = torch.randn(1, channels, 32, 32)
    exact = with_gradients(F.conv2d, x.double(), weight.double(), gradient.double())
    for found, expected in zip(with_gradients(winograd.convolve, x, weight, gradient), exact, strict=True):
        assert relative_error(found.double(), expected) < 5e-5


def test_winograd_without_onednn_gives_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(1, 8, 10, 10), torch.randn(8, 8, 3, 3)
    usual = winograd.convolve(x, weight)
    monkeypatch.setattr(winograd, "_HAS_ONEDNN", False)
    assert torch.allclose(winograd.convolve(x, weight), usual, atol=1e-4)


def test_auto_uses_winograd_only_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(
        winograd, "convolve", lambda x, weight, bias: called.append(x.shape) or F.conv2d(x, weight, bias)
    )
    wide, narrow = Convolution3x3(256, 256, bias=True), Convolution3x3(128, 128, bias=True)
    with torch.autocast("cpu", torch.bfloat16):
        wide(torch.zeros(1, 256, 66, 66))
    wide(torch.zeros(1, 256, 34, 34))  # 64 tiles
    wide.double()(torch.zeros(1, 256, 66, 66, dtype=torch.float64))
    narrow(torch.zeros(1, 128, 66, 66))
    Convolution3x3(256, 256, bias=True, conv="direct")(torch.zeros(1, 256, 66, 66))
    assert not called
    wide.float()(torch.zeros(1, 256, 66, 66))  # 256 tiles
    wide(torch.zeros(2, 256, 34, 34))  # 128 tiles
    Convolution3x3(2, 2, bias=True, conv="winograd")(torch.zeros(1, 2, 8, 8))
    assert called == [(1, 256, 66, 66), (2, 256, 34, 34), (1, 2, 8, 8)]


def test_filters_are_transformed_once_for_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    transformed = []
    original = winograd.transform_filters
    monkeypatch.setattr(winograd, "transform_filters", lambda w: transformed.append(1) or original(w))
    layer, x = Convolution3x3(3, 4, bias=True, conv="winograd"), torch.randn(1, 3, 9, 9)
    with torch.inference_mode():
        layer(x), layer(x)
        assert len(transformed) == 1
    # The cache must notice any change of the weights; a fused optimizer step does not increase their version.
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    layer(x).sum().backward()
    optimizer.step()
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert torch.allclose(layer(x), F.conv2d(x, layer.weight, layer.bias), atol=1e-5)
    assert list(layer.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_output_convolution_matches_direct_convolution(kernel: int) -> None:
    torch.manual_seed(4)
    layer = OutputConvolution(8, 3, kernel)
    x, gradient = torch.randn(2, 8, 11, 13), torch.randn(2, 3, 12 - kernel, 14 - kernel)
    x.requires_grad_()
    y = layer(x)
    found = [y, *torch.autograd.grad(y, (x, layer.weight, layer.bias), gradient)]
    y = F.conv2d(x, layer.weight, layer.bias)
    expected = [y, *torch.autograd.grad(y, (x, layer.weight, layer.bias), gradient)]
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < 1e-5


def test_output_convolution_splits_filters_only_for_few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = []
    original = F.conv2d
    monkeypatch.setattr(
        F, "conv2d", lambda x, weight, *rest: kernels.append(weight.shape) or original(x, weight, *rest)
    )
    OutputConvolution(2, 3, 7)(torch.zeros(1, 2, 8, 8))
    OutputConvolution(2, 5, 7)(torch.zeros(1, 2, 8, 8))
    OutputConvolution(2, 3, 7, conv="direct")(torch.zeros(1, 2, 8, 8))
    assert kernels == [(21, 2, 7, 1), (5, 2, 7, 7), (3, 2, 7, 7)]


def test_up_convolution_keeps_the_memory_format_of_gradients() -> None:
    layer = UpConvolution(4, 2, bias=True)
    x = torch.randn(1, 4, 5, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    inner, seen = x * 1.0, []
    inner.grad_fn.register_prehook(lambda gradients: seen.extend(gradients))
    y = layer(inner)
    assert y.is_contiguous() and torch.allclose(y, nn.ConvTranspose2d.forward(layer, x), atol=1e-6)
    y.sum().backward()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_instance_norm_with_channels_last() -> None:
    torch.manual_seed(5)
    x = torch.randn(3, 4, 6, 7)
    last = x.contiguous(memory_format=torch.channels_last)
    found = InstanceNorm2d(4)(last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(found, (x - mean) / (variance + 1e-5).sqrt(), atol=1e-5)


def test_winograd_and_direct_generators_agree() -> None:
    torch.manual_seed(6)
    direct = create_generator("resnet_6blocks", input_nc=3, output_nc=3, ngf=8, conv="direct")
    fast = create_generator("resnet_6blocks", input_nc=3, output_nc=3, ngf=8, conv="winograd")
    fast.load_state_dict(direct.state_dict())
    x = torch.rand(2, 3, 36, 44) * 2 - 1
    gradients = []
    for network in (direct, fast):
        network(x).square().sum().backward()
        # A bias before an instance norm has no effect: its gradient is rounding noise.
        gradients.append([p.grad for n, p in network.named_parameters() if n.endswith("weight")])
    assert torch.allclose(direct(x), fast(x), atol=1e-4)
    for one, other in zip(*gradients, strict=True):
        assert relative_error(one, other) < 1e-3


def test_the_auto_rule_is_as_documented() -> None:
    assert (convolutions.MIN_CHANNELS, convolutions.MIN_TILES) == (256, 128)
    assert winograd.count_tiles(torch.Size((2, 256, 34, 35))) == 2 * 8 * 9
