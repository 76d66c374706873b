"""pix2pixHD: networks, losses and a training step against reference implementations (Wang et al. 2018)."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import create_model
from models.base_model import BaseModel
from models.networks.discriminators import MultiscaleDiscriminator, create_discriminator
from models.networks.generators import create_generator
from models.networks.layers import downsample
from models.objectives import perceptual_loss
from models.objectives.losses import feature_matching_loss
from tests.conftest import Options
from tests.models.networks.test_discriminators import patchgan
from tests.models.networks.test_generators import double, image, normalized
from tests.models.test_cycle_gan import batch, draw_weights
from util.errors import UserError
from util.runs.checkpoint import Checkpoint
from util.runs.init_from import load_initial_weights

Build = Callable[..., BaseModel]
SMALL_HD = ["--model", "pix2pix_hd", "--netD", "n_layers", "--n_layers_D", "2", "--ngf", "2", "--ndf", "2"]


@pytest.fixture
def build(options: Options) -> Build:
    """A factory of models in float64 with fixed weights, ready to train."""

    def build(*flags: object) -> BaseModel:
        opt = options(*SMALL_HD, *flags)
        model = create_model(opt)
        draw_weights(model)
        model.setup(opt)
        return model

    return build


def reference_downsample(x: Tensor) -> Tensor:
    """The mean of the 3x3 pixels around every second pixel, without pixels outside the image."""
    height, width = x.shape[-2:]
    rows = [
        [x[..., max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].mean((-2, -1)) for j in range(0, width, 2)]
        for i in range(0, height, 2)
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def test_downsample_averages_without_padding() -> None:
    x = image(2, 3, 8, 12)
    torch.testing.assert_close(downsample(x), reference_downsample(x))


def global_features(x: Tensor, weights: dict[str, Tensor], norm: bool = True) -> tuple[Tensor, int]:
    """c7s1, four downsamplings, nine residual blocks, four upsamplings; and the index of the next layer."""

    def conv(x: Tensor, name: str, **how: int) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **how)

    def padded(x: Tensor, width: int) -> Tensor:
        return F.pad(x, (width,) * 4, mode="reflect")

    x = normalized(conv(padded(x, 3), "model.1"), {}, "").relu()
    for i in range(4):
        x = normalized(conv(x, f"model.{4 + 3 * i}", stride=2, padding=1), {}, "").relu()
    for i in range(16, 25):
        y = normalized(conv(padded(x, 1), f"model.{i}.conv_block.1"), {}, "").relu()
        x = x + normalized(conv(padded(y, 1), f"model.{i}.conv_block.5"), {}, "")
    for i in range(4):
        name = f"model.{25 + 3 * i}"
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        x = normalized(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1), {}, "").relu()
    return x, 37


def test_global_generator_matches_the_paper() -> None:
    network, weights = double(create_generator("global", input_nc=3, output_nc=2, ngf=2))
    x = image(1, 3, 48, 32)
    features, last = global_features(x, weights)
    padded = F.pad(features, (3, 3, 3, 3), mode="reflect")
    expected = F.conv2d(padded, weights[f"model.{last + 1}.weight"], weights[f"model.{last + 1}.bias"]).tanh()
    torch.testing.assert_close(network(x), expected, rtol=1e-8, atol=1e-10)
    widths = [value.shape[0] for name, value in weights.items() if name.endswith("weight") and value.shape[-1] == 3]
    assert max(widths) == 32  # 16 ngf
    with pytest.raises(UserError, match=r"an image of 40x32 pixels does not fit this generator, .* multiples of 16"):
        network(image(1, 3, 32, 40))


def test_local_enhancer_adds_the_global_features() -> None:
    network, weights = double(create_generator("local", input_nc=3, output_nc=2, ngf=2))
    whole = create_generator("global", input_nc=3, output_nc=2, ngf=4)
    shared = {name: value.shape for name, value in whole.state_dict().items() if not name.startswith("model.38")}
    assert {name: value.shape for name, value in weights.items() if name.startswith("model.")} == shared
    x = image(1, 3, 64, 64)

    def run(layers: nn.Module, x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x)
        return x

    coarse, _ = global_features(reference_downsample(x), weights)
    own = run(network.model1_1, x)
    assert own.shape == coarse.shape == (1, 4, 32, 32)
    torch.testing.assert_close(network(x), run(network.model1_2, own + coarse), rtol=1e-8, atol=1e-10)
    assert len([name for name in weights if name.startswith("model1_2") and "conv_block.1.weight" in name]) == 3
    with pytest.raises(UserError, match="multiples of 32"):
        network(image(1, 3, 48, 64))


def test_multiscale_discriminator_uses_an_image_pyramid() -> None:
    pairs = [double(create_discriminator("n_layers", input_nc=3, ndf=2, n_layers_D=2), seed=i) for i in range(3)]
    network = MultiscaleDiscriminator([scale for scale, _ in pairs])
    x = image(1, 3, 64, 64)
    for features, (_, weights) in zip(network(x), pairs, strict=True):
        assert [f.shape[1] for f in features] == [2, 4, 8, 1]
        torch.testing.assert_close(features[-1], patchgan(x, weights, 2))
        first = F.conv2d(x, weights["model.0.weight"], weights["model.0.bias"], stride=2, padding=1)
        torch.testing.assert_close(features[0], F.leaky_relu(first, 0.2))
        x = reference_downsample(x)
    with pytest.raises(UserError, match="an image of 8x8 pixels is too small"):
        network(image(1, 3, 32, 32))


def test_feature_matching_loss() -> None:
    zero, one = torch.zeros(2, 3), torch.ones(2, 3)
    # Without the logits, which are last: (1 + 0) / 2 for the first discriminator, (3 + 2) / 2 for the second.
    fake, real = [[one, zero, one], [3 * one, 2 * one, one]], [[zero, zero, zero], [zero, zero, zero]]
    assert feature_matching_loss(fake, real).item() == pytest.approx(4 * (0.5 + 2.5) / 2)


def reference_step(opt: argparse.Namespace, G: nn.Module, D: nn.Module, A: Tensor, B: Tensor) -> dict[str, float]:
    """Equation 5 with the weights of the published code; G is updated first, then D with fakes from before."""
    g, d = (torch.optim.Adam(net.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999)) for net in (G, D))

    def judged(image: Tensor) -> list[list[Tensor]]:
        pair, found = torch.cat([A, image], 1), []
        for scale in D.scales:
            layers, x = [], pair
            for layer in scale.model:
                x = layer(x)
                layers += [x] if isinstance(layer, nn.LeakyReLU) else []
            found.append([*layers, x])
            pair = reference_downsample(pair)
        return found

    def gan(features: list[list[Tensor]], real: bool) -> Tensor:
        return sum(((of_scale[-1] - float(real)) ** 2).mean() for of_scale in features)

    fake = G(A)
    of_fake, of_real = judged(fake), judged(B)
    matching = torch.zeros(())
    for scale in range(opt.num_D):
        for layer in range(opt.n_layers_D + 1):
            difference = (of_fake[scale][layer] - of_real[scale][layer].detach()).abs().mean()
            matching = matching + 4 / (opt.n_layers_D + 1) / opt.num_D * difference
    losses = {"G_GAN": gan(of_fake, True), "G_GAN_Feat": opt.lambda_feat * matching}
    g.zero_grad()
    sum(losses.values()).backward()
    g.step()
    losses |= {"D_fake": gan(judged(fake.detach()), False), "D_real": gan(judged(B), True)}
    d.zero_grad()
    ((losses["D_fake"] + losses["D_real"]) / 2).backward()
    d.step()
    return {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--num_D", "1", "--lambda_feat", "3", "--direction", "BtoA", "--netG", "global"],
        ["--num_D", "3", "--crop_size", "64", "--load_size", "64", "--netG", "local"],
    ],
)
def test_a_step_matches_the_reference(build: Build, flags: list[str]) -> None:
    model = build(*flags)
    nets = copy.deepcopy(model.networks())
    data = batch(model.opt, 0, count=2)
    A, B = ("A", "B") if model.opt.direction == "AtoB" else ("B", "A")
    model.set_input(data)
    model.optimize_parameters()
    expected = reference_step(model.opt, nets["G"], nets["D"], data[A], data[B])
    assert model.get_current_losses() == pytest.approx(expected, rel=1e-10)
    for name, network in model.networks().items():
        for key, value in network.named_parameters():
            torch.testing.assert_close(value, dict(nets[name].named_parameters())[key], rtol=1e-6, atol=1e-9)


def test_gradient_penalty_without_feature_matching(build: Build) -> None:
    model = build("--gan_mode", "wgangp", "--lambda_feat", "0")
    model.set_input(batch(model.opt, 0, count=2))
    model.optimize_parameters()
    assert set(model.get_current_losses()) == {"G_GAN", "D_fake", "D_real", "D_gp"}


# From the global generator to the local enhancer.


def test_global_weights_are_loaded_and_fixed(build: Build, options: Options) -> None:
    half = build("--netG", "global", "--ngf", "4", "--name", "half")
    half.folder.mkdir(parents=True)
    half.save_networks("latest")
    flags = ["--netG", "local", "--crop_size", "64", "--load_size", "64", "--niter_fix_global", "2"]
    model = build(*flags, "--init_from", "half", "--init_partial", "--name", "whole")
    load_initial_weights(model.networks(), model.opt)
    taken = {name: value.clone() for name, value in model.netG.model.state_dict().items()}
    assert all(torch.equal(value, half.netG.model.state_dict()[name]) for name, value in taken.items()) and taken
    assert torch.equal(model.netD.scales[1].model[0].weight, half.netD.scales[1].model[0].weight)

    for epoch in range(1, 4):
        own = copy.deepcopy(model.netG.model1_1.state_dict())
        model.set_input(batch(model.opt, epoch))
        model.optimize_parameters()
        is_as_taken = all(torch.equal(value, taken[name]) for name, value in model.netG.model.state_dict().items())
        assert is_as_taken == (epoch <= 2)
        assert not torch.equal(model.netG.model1_1.state_dict()["1.weight"], own["1.weight"])
        model.update_learning_rate()


def test_a_resumed_run_fixes_global_weights_for_the_same_epochs(build: Build, tmp_path: Path) -> None:
    flags = ["--netG", "local", "--crop_size", "64", "--load_size", "64", "--niter_fix_global", "2"]
    fixed = [*flags, "--init_from", "half", "--n_epochs", "5"]

    def train_an_epoch(model: BaseModel, number: int) -> dict[str, float]:
        model.set_input(batch(model.opt, number))
        model.optimize_parameters()
        model.update_learning_rate()
        return model.get_current_losses()

    model = build(*fixed)
    train_an_epoch(model, 1)
    Checkpoint(tmp_path / "state.pt", model.state_objects()).save()
    again = build(*fixed)
    Checkpoint(tmp_path / "state.pt", again.state_objects()).load()
    for number, is_fixed in ((2, True), (3, False), (4, False)):
        assert model.global_is_fixed == again.global_is_fixed == is_fixed
        assert train_an_epoch(model, number) == train_an_epoch(again, number)
    assert not build(*fixed, "--epoch_count", "3").global_is_fixed  # resumed from weights only


# The perceptual loss, with a small random VGG19.


def small_vgg() -> nn.Sequential:
    """Layers in the order of VGG19: blocks of 2, 2, 4, 4 and 4 convolutions, each followed by max pooling."""
    layers: list[nn.Module] = []
    width = 3
    for block, depth in enumerate((2, 2, 4, 4, 4)):
        for _ in range(depth):
            layers += [nn.Conv2d(width, 2 + block, 3, padding=1), nn.ReLU(inplace=True)]
            width = 2 + block
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


def test_perceptual_loss_is_a_weighted_sum_of_five_layers() -> None:
    torch.manual_seed(4)
    vgg = small_vgg().double()
    x, y = image(2, 3, 32, 32), -image(2, 3, 32, 32) / 2
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1)
    fake, real = (((value + 1) / 2 - mean) / deviation for value in (x, y))
    expected, weights = 0.0, {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}  # reluN_1 of VGG19, by layer index
    for i, layer in enumerate(vgg):
        fake, real = layer(fake), layer(real)
        expected += weights.get(i, 0) * (fake - real).abs().mean().item()
    loss = perceptual_loss.PerceptualLoss(vgg)
    assert loss(x, y).item() == pytest.approx(expected) and expected > 0
    assert loss(x, x).item() == 0


def test_perceptual_loss_trains_the_generator_and_stays_frozen(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual_loss, "load_vgg19", lambda: small_vgg().double())
    model = build("--lambda_vgg", "10")
    before = copy.deepcopy(model.perceptual_loss.state_dict())
    model.set_input(batch(model.opt, 0))
    model.optimize_parameters()
    with torch.no_grad():
        expected = 10 * model.perceptual_loss(model.fake_B, model.real_B)
    assert model.get_current_losses()["G_VGG"] == pytest.approx(expected.item())
    assert all(torch.equal(value, before[name]) for name, value in model.perceptual_loss.state_dict().items())
    assert set(model.networks()) == {"G", "D"} and model.fake_B.requires_grad


def test_missing_vgg_weights_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(weights: object) -> nn.Module:
        raise OSError("no network")

    monkeypatch.setattr(perceptual_loss, "vgg19", no_network)
    with pytest.raises(
        UserError, match=r"^--lambda_vgg: the weights of VGG19 can't be loaded \(no network\): download"
    ):
        perceptual_loss.load_vgg19()
