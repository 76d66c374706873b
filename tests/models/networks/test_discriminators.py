"""Discriminators match the layout of published weight files, and reference implementations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.networks.discriminators import create_discriminator
from models.option_checks import check_discriminator_size
from tests.conftest import Options
from tests.models.networks.test_generators import LAYOUTS, Weights, double, image, layout, normalized
from util.errors import UserError


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name.startswith("D/")])
def test_state_dict_has_the_published_layout(name: str) -> None:
    _, netD, n_layers, norm = name.split("/")
    with torch.device("meta"):
        network = create_discriminator(
            netD, input_nc=3, n_layers_D=int(n_layers.split("=")[1]), norm=norm.split("=")[1]
        )
    assert layout(network) == LAYOUTS[name]


def patchgan(x: Tensor, weights: Weights, layers: int) -> Tensor:
    """C64-C128-C256-C512 of Zhu et al. 2017, appendix 7.2, for any number of layers."""
    x = F.leaky_relu(F.conv2d(x, weights["model.0.weight"], weights["model.0.bias"], stride=2, padding=1), 0.2)
    for layer in range(1, layers + 1):
        name, stride = f"model.{3 * layer - 1}", 2 if layer < layers else 1
        x = F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride=stride, padding=1)
        x = F.leaky_relu(normalized(x, weights, f"model.{3 * layer}"), 0.2)
    last = f"model.{3 * layers + 2}"
    return F.conv2d(x, weights[f"{last}.weight"], weights[f"{last}.bias"], padding=1)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("netD", "layers"), [("basic", 3), ("n_layers", 2), ("n_layers", 4)])
def test_patchgan_matches_the_paper(netD: str, layers: int, norm: str) -> None:
    network, weights = double(create_discriminator(netD, input_nc=3, ndf=3, n_layers_D=layers, norm=norm))
    x = image(2, 3, 64, 52)
    torch.testing.assert_close(network(x), patchgan(x, weights, layers), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_pixel_discriminator_classifies_each_pixel(norm: str) -> None:
    network, weights = double(create_discriminator("pixel", input_nc=3, ndf=3, norm=norm))
    x = image(2, 3, 5, 7)

    def mix(x: Tensor, name: str) -> Tensor:
        mixed = torch.einsum("oi,nihw->nohw", weights[f"{name}.weight"][:, :, 0, 0], x)
        return mixed + weights.get(f"{name}.bias", torch.zeros(1)).view(1, -1, 1, 1)

    hidden = F.leaky_relu(normalized(mix(F.leaky_relu(mix(x, "net.0"), 0.2), "net.2"), weights, "net.3"), 0.2)
    torch.testing.assert_close(network(x), mix(hidden, "net.5"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("layers", "field"), [(2, 34), (3, 70), (4, 142)])
def test_receptive_field_matches_the_paper(layers: int, field: int) -> None:
    network, _ = double(create_discriminator("n_layers", input_nc=1, ndf=2, n_layers_D=layers, norm="none"))
    x = image(1, 1, 256, 256).requires_grad_()
    logits = network(x)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == field


@pytest.mark.parametrize(("netD", "layers"), [("basic", 3), ("n_layers", 1), ("n_layers", 2), ("n_layers", 4)])
def test_minimum_size_of_the_options_is_the_minimum_that_works(netD: str, layers: int, options: Options) -> None:
    opt = options(
        "--netD", netD, "--n_layers_D", layers, "--netG", "resnet_6blocks", "--crop_size", 128, "--load_size", 128
    )
    network = create_discriminator(netD, input_nc=3, ndf=2, n_layers_D=layers)
    accepted, working = [], []
    for size in range(4, 64, 4):
        opt.crop_size = size
        try:
            check_discriminator_size(opt)
            accepted.append(size)
        except UserError:
            pass
        try:
            network.model(torch.zeros(1, 3, size, size))  # bypasses the check of forward
            working.append(size)
        except (RuntimeError, ValueError):
            pass
    assert accepted == working


def test_an_image_below_the_minimum_size_is_an_error() -> None:
    network = create_discriminator("basic", input_nc=3, ndf=2)
    assert network(torch.zeros(1, 3, 24, 40)).shape == (1, 1, 1, 3)
    with pytest.raises(
        UserError, match=r"^an image of 40x20 pixels is too small for this discriminator, which needs at least 24"
    ):
        network(torch.zeros(1, 3, 20, 40))
