"""Tests that every registered trainable model has to pass, on batches of its own dataset."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import models
from data import create_dataset
from models import MODELS, create_model
from models.base_model import BaseModel
from tests.conftest import Options

TRAINABLE = [name for name in MODELS.names() if MODELS.find(name).trainable]
# Variants of models, with the options that they need in addition to the small sizes of tests/conftest.py.
VARIANTS: dict[str, list[str]] = {name: ["--model", name] for name in TRAINABLE}
VARIANTS["colorization"] += ["--phase", "trainA"]
PIX2PIX_HD = ["--model", "pix2pix_hd", "--netD", "n_layers", "--n_layers_D", "2"]
VARIANTS |= {
    "pix2pix of class ids": ["--model", "pix2pix", "--label_nc", "5"],
    "pix2pix_hd": PIX2PIX_HD,
    "pix2pix_hd, global": [*PIX2PIX_HD, "--netG", "global", "--ngf", "2"],
    "pix2pix_hd, local": [*PIX2PIX_HD, "--netG", "local", "--ngf", "2", "--crop_size", "64", "--load_size", "64"],
    "cycle_gan in parts": ["--model", "cycle_gan", "--accumulate", "2"],
    "pix2pix in parts": ["--model", "pix2pix", "--accumulate", "2"],
    "cut in parts": ["--model", "cut", "--accumulate", "2"],
    "cycle_gan, recomputed": ["--model", "cycle_gan", "--grad_checkpoint"],
    "cut, fast": ["--model", "cut", "--CUT_mode", "FastCUT"],
    "pix2pix, U-Net": ["--model", "pix2pix", "--netG", "unet_128", "--crop_size", "128", "--load_size", "128"],
    "pix2pix_hd of class ids": [*PIX2PIX_HD, "--label_nc", "5"],
}
Build = Callable[..., BaseModel]


@pytest.fixture
def build(options: Options, two_domains: Path) -> Build:
    """A factory of models with fixed weights, large enough for gradients that do not vanish, ready to train."""

    def build(variant: str) -> BaseModel:
        torch.manual_seed(1)
        if "--label_nc" in VARIANTS[variant]:
            for path in (two_domains / "trainA").iterdir():
                Image.open(path).convert("L").point(lambda gray: gray % 5).save(path)
        opt = options("--pool_size", 0, "--batch_size", 2, "--init_gain", 0.2, *VARIANTS[variant])
        model = create_model(opt)
        model.setup(opt)
        return model

    return build


def train(model: BaseModel, steps: int) -> dict[str, float]:
    """The losses of the last of `steps` training steps on the model's dataset."""
    for _, batch in zip(range(steps), create_dataset(model.opt), strict=False):
        model.set_input(batch)
        model.optimize_parameters()
    return model.get_current_losses()


def test_every_trainable_model_is_tested() -> None:
    files = {path.stem.removesuffix("_model") for path in Path(models.__file__).parent.glob("*_model.py")}
    assert set(VARIANTS) >= files - {"base", "test"} and len(TRAINABLE) == len(files) - 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_gradient_reaches_every_parameter(variant: str, build: Build) -> None:
    model = build(variant)
    losses = train(model, 1)
    assert losses and all(np.isfinite(value) for value in losses.values())
    for net, network in model.networks().items():
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None, f"{net}.{key}"
            assert torch.isfinite(parameter.grad).all(), f"{net}.{key}"
            if parameter.dim() > 1:  # the gradient of a bias before an instance norm is 0
                assert parameter.grad.abs().max() > 0, f"{net}.{key}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_network_is_updated_and_every_visual_is_an_image(variant: str, build: Build) -> None:
    model = build(variant)
    before = copy.deepcopy(model.networks())
    train(model, 2)
    for net, network in model.networks().items():
        assert any(not torch.equal(p, q) for p, q in zip(network.parameters(), before[net].parameters(), strict=True))
    visuals = model.get_current_visuals()
    assert set(visuals) == set(model.visual_names)
    for visual, shown in visuals.items():
        count = model.columns if visual == "samples" else 1  # columns of the grid
        assert shown.dim() == 4 and shown.shape[-2:] == (count * model.opt.crop_size, count * model.opt.crop_size)
        assert shown.abs().max() <= 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_testing_with_saved_weights_gives_the_same_visuals(variant: str, build: Build) -> None:
    model = build(variant)
    train(model, 1)
    model.folder.mkdir(parents=True)
    model.save_networks("latest")
    model.eval()
    batch = next(iter(create_dataset(model.opt)))
    if variant == "dcgan":  # testing uses a different dataset
        batch = {"z": torch.randn(2, 100), "z_end": torch.randn(2, 100), "A_paths": ["sample_1", "sample_2"]}
    model.set_input(batch)
    model.test()
    opt = copy.copy(model.opt)
    opt.is_train = False
    tested = create_model(opt)
    tested.setup(opt)
    tested.eval()
    tested.set_input(batch)
    tested.test()
    shown = tested.get_current_visuals()
    trained = model.get_current_visuals()
    both = shown.keys() & trained.keys()
    assert any("fake" in visual for visual in both)
    assert all(torch.equal(shown[visual], trained[visual]) for visual in both)
    assert all("D" not in net for net in tested.networks())
    assert [t.path for t in tested.translations(batch)]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name in TRAINABLE])
def test_set_input_makes_images_contiguous(build: Build, variant: str) -> None:
    """Loaders return channels-last images; networks would adopt that format, with different rounding."""
    model = build(variant)
    batch = next(iter(create_dataset(model.opt)))
    for name in {"A", "B"} & batch.keys():
        batch[name] = batch[name].float().contiguous(memory_format=torch.channels_last)
    model.set_input(batch)
    images = [value for value in model.step_data.inputs.values() if value.ndim == 4]
    assert images and all(image.is_contiguous() for image in images)
