"""The registries of networks, GAN objectives and learning-rate policies, and components as package.module:name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import create_model
from models.architectures import GENERATORS as SIZES
from models.lr_policies import LR_POLICIES
from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.discriminators import create_discriminator
from models.networks.generators import create_generator
from models.objectives import GAN_MODES
from models.objectives.losses import gan_loss
from options import TrainOptions
from tests.conftest import Options
from tests.models.test_cycle_gan import batch
from util.errors import UserError


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_keeps_the_image_size(name: str) -> None:
    network = create_generator(name, input_nc=2, output_nc=3, ngf=2)
    side = max(64, SIZES[name][2])
    assert network(torch.zeros(1, 2, side, side)).shape == (1, 3, side, side)


def test_every_generator_has_a_size_rule() -> None:
    assert list(SIZES) == list(GENERATORS)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_every_discriminator_returns_patch_logits(name: str) -> None:
    shape = create_discriminator(name, input_nc=2, ndf=2)(torch.zeros(1, 2, 64, 64)).shape
    assert shape[:2] == (1, 1) and min(shape[2:]) > 1


@pytest.mark.parametrize("name", GAN_MODES)
def test_every_gan_loss_is_lower_for_correct_logits(name: str) -> None:
    real, fake = torch.full((2, 1, 3, 3), 0.9), torch.full((2, 1, 3, 3), 0.1)
    assert gan_loss(real, True, name) < gan_loss(fake, True, name)
    assert gan_loss(fake, False, name) < gan_loss(real, False, name)
    assert gan_loss(real, True, name).shape == ()


@pytest.mark.parametrize("name", LR_POLICIES)
def test_every_policy_starts_at_the_initial_rate(name: str) -> None:
    opt = TrainOptions().parse(["--dataroot", "x", "--lr_policy", name])
    assert LR_POLICIES.find(name)(opt, 0, 1) == 1


OWN = """
import torch
from torch import nn

class Tiny(nn.Conv2d):
    def __init__(self, input_nc, output_nc, ngf):
        super().__init__(input_nc, output_nc, 3, padding=1)
        assert ngf == 4

def judge(**settings):
    return nn.Conv2d(settings["input_nc"], 1, 3)

def hinge(logits, target_is_real):
    return torch.relu(1 - logits if target_is_real else 1 + logits).mean()

def constant(opt, epoch, first_epoch):
    return 0.5
"""


def test_custom_components_train(options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "own_parts"
    package.mkdir()
    (package / "__init__.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    flags = ["--netG", "own_parts:Tiny", "--netD", "own_parts:judge", "--gan_mode", "own_parts:hinge"]
    model = create_model(options(*flags, "--lr_policy", "own_parts:constant", "--lr", 0.5))
    model.setup(model.opt)
    assert model.learning_rate == 0.25
    before = model.netG_A.weight.clone()
    model.set_input(batch(model.opt, 0, dtype=torch.float32))
    model.optimize_parameters()
    assert not torch.equal(before, model.netG_A.weight)
    assert model.get_current_losses()["D_A"] == pytest.approx(1, abs=0.2)  # logits near 0 give (1 + 1) / 2


@pytest.mark.parametrize(
    ("flag", "name", "sentence"),
    [
        ("--netG", "resnet_9block", "--netG resnet_9block is called --netG resnet_9blocks here; type: "),
        ("--netD", "nowhere_at_all:f", "--netD: nowhere_at_all:f: no module nowhere_at_all is found"),
        ("--gan_mode", "lsgn", "is unknown: choose one of lsgan, vanilla, wgangp, or your own as package.module:name"),
        ("--netG", "math:sqrt", "--netG math:sqrt can't be called with keyword arguments among input_nc, .*: "),
        ("--netD", "argparse:Namespace", "--netD argparse:Namespace: must return an nn.Module, not Namespace"),
        ("--lr_policy", "math:sawtooth", "--lr_policy: math:sawtooth: module math has no sawtooth"),
    ],
)
def test_unknown_names_are_errors(options: Options, flag: str, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        model = create_model(options(flag, name))
        model.setup(model.opt)
