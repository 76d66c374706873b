"""Colorization: conversion to and from Lab, and a training step against a reference implementation."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color
from torch import nn

from data import create_dataset
from models import create_model
from tests.conftest import Options
from util import images

TINY = ["--model", "colorization", "--phase", "trainA", "--ngf", 2, "--ndf", 2]
TINY += ["--preprocess", "none", "--no_flip", "--serial_batches"]


def test_dataset_splits_images_into_lightness_and_color(options: Options, two_domains: Path) -> None:
    batch = next(iter(create_dataset(options(*TINY))))
    (path,) = batch["A_paths"]
    assert path == str(two_domains / "trainA" / "00.png") and batch["B_paths"] == [path]
    lab = color.rgb2lab(np.asarray(Image.open(path)))
    np.testing.assert_allclose(batch["A"][0].permute(1, 2, 0), lab[..., :1] / 50 - 1, atol=1e-5)
    np.testing.assert_allclose(batch["B"][0].permute(1, 2, 0), lab[..., 1:] / 110, atol=1e-5)


def test_ground_truth_equals_the_file(options: Options) -> None:
    model = create_model(options(*TINY))
    batch = next(iter(create_dataset(model.opt)))
    model.set_input(batch)
    model.test()
    (translation,) = model.translations(batch)
    assert list(translation.visuals) == ["real_A", "real_B_rgb", "fake_B_rgb"]
    assert list(translation.truth) == ["fake_B_rgb"]
    picture = np.asarray(Image.open(translation.path))
    assert np.array_equal(images.to_array(translation.truth["fake_B_rgb"]), picture)
    # The output has the lightness of the image, except for colors outside of sRGB.
    made = images.to_array(translation.visuals["fake_B_rgb"])
    assert np.abs(color.rgb2lab(made)[..., 0] - color.rgb2lab(picture)[..., 0]).mean() < 1


def test_a_step_matches_the_reference(options: Options) -> None:
    model = create_model(options(*TINY, "--no_dropout"))
    model.setup(model.opt)
    for network in model.networks().values():
        network.double()
    G, D = copy.deepcopy(model.netG), copy.deepcopy(model.netD)
    batch = next(iter(create_dataset(model.opt)))
    L, ab = (batch[name].double() for name in "AB")
    model.set_input(batch | {"A": L, "B": ab})
    model.optimize_parameters()

    g, d = (torch.optim.Adam(network.parameters(), lr=0.0002, betas=(0.5, 0.999)) for network in (G, D))
    fake = G(L)
    judged_fake, judged_real = D(torch.cat([L, fake.detach()], dim=1)), D(torch.cat([L, ab], dim=1))
    D_fake, D_real = nn.functional.softplus(judged_fake).mean(), nn.functional.softplus(-judged_real).mean()
    ((D_fake + D_real) / 2).backward()
    d.step()
    G_GAN = nn.functional.softplus(-D(torch.cat([L, fake], dim=1))).mean()
    G_L1 = 100 * (fake - ab).abs().mean()
    (G_GAN + G_L1).backward()
    g.step()
    expected = {"D_fake": D_fake, "D_real": D_real, "G_GAN": G_GAN, "G_L1": G_L1}
    assert model.get_current_losses() == pytest.approx({key: v.item() for key, v in expected.items()}, rel=1e-10)
    for network, reference in ((model.netG, G), (model.netD, D)):
        for key, value in network.state_dict().items():
            torch.testing.assert_close(value, reference.state_dict()[key], rtol=1e-8, atol=1e-12)
