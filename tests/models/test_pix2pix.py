"""pix2pix in float64: a training step against a reference implementation (Isola et al. 2017, equations 1 to 4)."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from data import create_dataset
from models import create_model
from models.base_model import BaseModel
from models.labels import one_hot, to_colors
from options import TestOptions, TrainOptions
from tests.conftest import Options
from tests.models.test_cycle_gan import batch, draw_weights
from util.errors import UserError

Build = Callable[..., BaseModel]


@pytest.fixture
def build(options: Options) -> Build:
    """A factory of models in float64 with fixed weights, ready to train."""

    def build(*flags: object) -> BaseModel:
        opt = options("--model", "pix2pix", *flags)
        model = create_model(opt)
        draw_weights(model)
        model.setup(opt)
        return model

    return build


def gan(logits: Tensor, real: bool, gan_mode: str) -> Tensor:
    if gan_mode == "lsgan":
        return ((logits - float(real)) ** 2).mean()
    return nn.functional.softplus(-logits if real else logits).mean()


def reference_step(opt: argparse.Namespace, G: nn.Module, D: nn.Module, A: Tensor, B: Tensor) -> dict[str, float]:
    """One fake for both updates: D first, then G with the logits of the updated D."""
    g, d = (torch.optim.Adam(net.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999)) for net in (G, D))
    fake = G(A)
    losses = {
        "D_fake": gan(D(torch.cat([A, fake.detach()], 1)), False, opt.gan_mode),
        "D_real": gan(D(torch.cat([A, B], 1)), True, opt.gan_mode),
    }
    d.zero_grad()
    ((losses["D_fake"] + losses["D_real"]) / 2).backward()
    d.step()
    losses["G_GAN"] = opt.lambda_GAN * gan(D(torch.cat([A, fake], 1)), True, opt.gan_mode)
    losses["G_L1"] = opt.lambda_L1 * (fake - B).abs().mean()
    g.zero_grad()
    (losses["G_GAN"] + losses["G_L1"]).backward()
    g.step()
    return {name: loss.item() for name, loss in losses.items()}


UNET = ["--netG", "unet_128", "--ngf", "2", "--crop_size", "128", "--load_size", "128"]


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--gan_mode", "lsgan", "--lambda_L1", "7", "--lambda_GAN", "2", "--direction", "BtoA", "--norm", "instance"],
        ["--input_nc", "1", "--output_nc", "2", "--direction", "BtoA", "--no_dropout"],
        UNET,
    ],
)
def test_a_step_matches_the_reference(build: Build, flags: list[str]) -> None:
    model = build(*flags)
    nets = copy.deepcopy(model.networks())
    assert set(nets) == {"G", "D"} and [phase.name for phase in model.phases] == ["D", "G"]
    data = batch(model.opt, 0, count=2)
    A, B = ("A", "B") if model.opt.direction == "AtoB" else ("B", "A")
    torch.manual_seed(3)  # dropout
    model.set_input(data)
    model.optimize_parameters()
    torch.manual_seed(3)
    expected = reference_step(model.opt, nets["G"], nets["D"], data[A], data[B])
    assert model.get_current_losses() == pytest.approx(expected, rel=1e-10)
    assert model.get_image_paths() == data[f"{A}_paths"]
    for name, network in model.networks().items():
        for key, value in network.state_dict().items():
            torch.testing.assert_close(value, nets[name].state_dict()[key], rtol=1e-7, atol=1e-10)


def test_the_generator_runs_once_per_step(build: Build) -> None:
    model = build()
    calls = []
    model.netG.register_forward_hook(lambda *_: calls.append(1))
    model.set_input(batch(model.opt, 0, count=2))
    model.optimize_parameters()
    assert len(calls) == 1
    assert list(model.get_current_visuals()) == ["real_A", "fake_B", "real_B"]


def test_plateau_monitors_the_generator_loss(build: Build) -> None:
    model = build()
    model.set_input(batch(model.opt, 0, count=2))
    model.optimize_parameters()
    losses = model.get_current_losses()
    assert model.epoch_loss.mean() == pytest.approx(losses["G_GAN"] + losses["G_L1"])


@pytest.mark.parametrize(
    ("flags", "losses"),
    [
        (["--lambda_L1", "0"], {"G_GAN", "D_real", "D_fake"}),
        (["--lambda_GAN", "0"], {"G_L1"}),
        (["--gan_mode", "wgangp"], {"G_GAN", "G_L1", "D_real", "D_fake", "D_gp"}),
    ],
)
def test_ablations_and_gradient_penalty(flags: list[str], losses: set[str], build: Build) -> None:
    model = build(*flags)
    before = copy.deepcopy(model.networks())
    for i in range(2):
        model.set_input(batch(model.opt, i, count=2))
        model.optimize_parameters()
    assert set(model.get_current_losses()) == losses
    assert set(before) == ({"G"} if losses == {"G_L1"} else {"G", "D"})
    for name, network in model.networks().items():
        assert not torch.equal(next(network.parameters()), next(before[name].parameters())), name


def test_the_pool_stores_pairs(build: Build) -> None:
    model = build("--pool_size", "1")
    for i in range(2):
        model.set_input(batch(model.opt, i))
        model.optimize_parameters()
    (pair,) = model.pool.images
    assert pair.shape == (6, 32, 32) and "pool" in model.state_objects()


def test_ground_truth_of_a_translation_is_its_pair(build: Build) -> None:
    model = build("--direction", "BtoA")
    data: dict[str, Any] = batch(model.opt, 0, count=2)
    model.set_input(data)
    model.test()
    found = model.translations(data)
    assert [t.path for t in found] == data["B_paths"]
    for i, translation in enumerate(found):
        assert list(translation.visuals) == ["real_A", "fake_B", "real_B"]
        assert torch.equal(translation.truth["fake_B"], data["A"][i])
    del data["A"]
    model = build("--direction", "BtoA")
    with pytest.raises(UserError, match=r"^--dataset_mode aligned has no pairs, but --model pix2pix needs pairs"):
        model.set_input(data)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_a_single_folder_is_translated_in_both_directions(
    direction: str, build: Build, two_domains: Path, tmp_path: Path
) -> None:
    model = build("--direction", direction, "--name", "alone", "--input_nc", "1")
    model.folder.mkdir(parents=True)
    model.save_networks("latest")
    TrainOptions().save(model.opt, model.folder, {})
    flags = ["--dataroot", two_domains / "testA", "--checkpoints_dir", tmp_path / "checkpoints", "--name", "alone"]
    opt = TestOptions().parse([*map(str, flags), "--dataset_mode", "single", "--num_threads", "0", "--device", "cpu"])
    tested = create_model(opt)
    tested.setup(opt)
    data = next(iter(create_dataset(opt)))
    tested.set_input(data)
    tested.test()
    (translation,) = tested.translations(data)
    assert translation.path == str(two_domains / "testA" / "00.png") and translation.truth == {}
    assert list(translation.visuals) == ["real_A", "fake_B"]
    assert translation.visuals["real_A"].shape == (1, 32, 32) and translation.visuals["fake_B"].shape == (3, 32, 32)


def test_class_ids_become_one_hot_maps(build: Build) -> None:
    model = build("--label_nc", "4")
    ids = torch.tensor([[[[0, 3], [1, 1]]]], dtype=torch.uint8)
    data = {"A": ids, "B": torch.zeros(1, 3, 2, 2), "A_paths": ["x"]}
    model.set_input(data)
    expected = [[[1, 0], [0, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]], [[0, 1], [0, 0]]]
    assert model.real_A.tolist() == [expected] and model.real_A.dtype == torch.float32
    shown = model.get_current_visuals()["real_A"]
    assert shown.shape == (1, 3, 2, 2) and shown.abs().max() <= 1
    assert torch.equal(shown[0, :, 1, 0], shown[0, :, 1, 1]) and torch.equal(shown[0, :, 0, 0], -torch.ones(3))


def test_classes_have_distinct_colors() -> None:
    ids = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    levels = ((to_colors(one_hot(ids, 256)) + 1) * 127.5).round().flatten(2)[0].T
    assert len({tuple(color) for color in levels.tolist()}) == 256
