"""Gradient accumulation (--accumulate) and gradient checkpointing (--grad_checkpoint) give the same update."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models import create_model
from models.base_model import BaseModel
from models.networks.generators import ResnetBlock, create_generator
from models.networks.layers import uses_batch_statistics
from models.objectives.losses import color_loss, discriminator_loss
from tests.conftest import Options

Build = Callable[..., BaseModel]
CYCLE_GAN = ["--model", "cycle_gan", "--pool_size", "0"]
PIX2PIX = ["--model", "pix2pix", "--norm", "instance", "--no_dropout", "--netG", "resnet_6blocks"]
TEMPLATE = ["--model", "template", "--pool_size", "0"]


@pytest.fixture
def build(options: Options) -> Build:
    """A factory of models in float64 with fixed weights."""

    def build(*flags: str) -> BaseModel:
        opt: argparse.Namespace = options("--batch_size", 4, *flags)
        torch.manual_seed(3)
        model = create_model(opt)
        model.setup(opt)
        for network in model.networks().values():
            network.double()
        return model

    return build


def noise(model: BaseModel, count: int, seed: int) -> dict[str, Any]:
    """A batch of random noise images, in the format of a loader."""
    generator = torch.Generator().manual_seed(seed)
    batch: dict[str, Any] = {}
    for domain in "AB":
        shape = (count, 3, model.opt.crop_size, model.opt.crop_size)
        batch[domain] = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
        batch[f"{domain}_paths"] = [f"{i}.png" for i in range(count)]
    return batch


def step(model: BaseModel, count: int, seed: int) -> dict[str, float]:
    model.set_input(noise(model, count, seed))
    model.optimize_parameters()
    return model.get_current_losses()


def weights(model: BaseModel) -> list[Tensor]:
    return [parameter for network in model.networks().values() for parameter in network.parameters()]


def gradients(model: BaseModel) -> list[Tensor]:
    """The gradients of weights, without biases, whose gradient before an instance norm is rounding noise."""
    return [parameter.grad for parameter in weights(model) if parameter.dim() > 1 and parameter.grad is not None]


@pytest.mark.parametrize("flags", [CYCLE_GAN, PIX2PIX, TEMPLATE], ids=["cycle_gan", "pix2pix", "template"])
@pytest.mark.parametrize("parts", [2, 3, 9])
def test_micro_batches_give_the_update_of_the_whole_batch(build: Build, flags: list[str], parts: int) -> None:
    whole, parted = build(*flags), build(*flags, "--accumulate", str(parts))
    for seed in range(2):
        one, other = step(whole, 4, seed), step(parted, 4, seed)
        assert one.keys() == other.keys()
        assert other == pytest.approx(one, rel=1e-9)
        for found, expected in zip(gradients(parted), gradients(whole), strict=True):
            assert torch.allclose(found, expected, rtol=1e-8, atol=1e-12)
    assert parted.step_images == 4 and len(parted.get_image_paths()) == 4


def test_color_loss_of_each_micro_batch_and_its_note(build: Build) -> None:
    model = build(*CYCLE_GAN, "--accumulate", "2", "--lambda_color", "3")
    assert "note: --lambda_color compares colors for each micro-batch and each rank separately" in model.describe()
    assert "--lambda_color" not in build(*CYCLE_GAN, "--lambda_color", "3").describe()
    netG_A, seen = copy.deepcopy(model.netG_A), []
    model.netG_A.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0].detach()))
    losses = step(model, 4, 0)
    halves = noise(model, 4, 0)["A"].chunk(2)
    assert any(torch.equal(halves[0], images) for images in seen)
    with torch.no_grad():
        expected = sum(3 * color_loss(netG_A(half), half).item() / 2 for half in halves)
    assert losses["color_A"] == pytest.approx(expected, rel=1e-9)


def test_a_forward_pass_has_the_images_of_one_micro_batch(build: Build) -> None:
    model, seen = build(*CYCLE_GAN, "--accumulate", "2"), []
    model.netG_A.register_forward_hook(lambda net, inputs, output: seen.append(len(output)))
    step(model, 4, 0)
    assert set(seen) == {2}


def test_gradient_checkpointing_gives_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = ResnetBlock._apply_block
    monkeypatch.setattr(ResnetBlock, "_apply_block", lambda block, x: calls.append(1) or original(block, x))
    found = []
    for recompute in (False, True):
        torch.manual_seed(4)
        network = create_generator("resnet_6blocks", input_nc=3, output_nc=3, ngf=2, grad_checkpoint=recompute)
        network(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(5))).square().sum().backward()
        found.append([parameter.grad for parameter in network.parameters()])
        assert len(calls) == (6 if not recompute else 6 + 12)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


class Counting(torch.nn.Sequential):
    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(x)


@pytest.mark.parametrize(("norm", "passes"), [("instance", 1), ("batch", 2)])
def test_real_and_fake_share_a_forward_pass_without_batch_norm(norm: str, passes: int) -> None:
    layer = torch.nn.InstanceNorm2d(3) if norm == "instance" else torch.nn.BatchNorm2d(3)
    network = Counting(torch.nn.Conv2d(3, 3, 3), layer, torch.nn.Conv2d(3, 1, 3)).double()
    real, fake = torch.rand(2, 3, 8, 8, dtype=torch.float64), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    loss = discriminator_loss(network, real, fake, "lsgan", 0)
    assert network.passes == passes and uses_batch_statistics(network) == (passes == 2)
    expected = ((network(real) - 1) ** 2).mean() / 2 + (network(fake) ** 2).mean() / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_images_of_different_sizes_take_two_forward_passes() -> None:
    network = Counting(torch.nn.Conv2d(3, 1, 3))
    discriminator_loss(network, torch.rand(1, 3, 8, 8), torch.rand(1, 3, 6, 8), "lsgan", 0)
    assert network.passes == 2


def test_gradient_checkpointing_updates_running_statistics_once() -> None:
    network = create_generator("resnet_6blocks", input_nc=3, output_nc=3, ngf=2, norm="batch", grad_checkpoint=True)
    plain = create_generator("resnet_6blocks", input_nc=3, output_nc=3, ngf=2, norm="batch")
    plain.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 16, 16)
    for either in (network, plain):
        either(x).sum().backward()
    assert all(torch.equal(one, other) for one, other in zip(network.buffers(), plain.buffers(), strict=True))


def test_a_second_step_on_the_same_batch_uses_micro_batches(build: Build) -> None:
    model, whole = build(*CYCLE_GAN, "--accumulate", "2"), build(*CYCLE_GAN)
    for either in (model, whole):
        step(either, 4, 0)
        either.optimize_parameters()
    assert model.get_current_losses() == pytest.approx(whole.get_current_losses(), rel=1e-6)
    assert len(model.real_A) == 4
