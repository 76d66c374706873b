"""Differentiable augmentation against expected values."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from models import create_model
from models.objectives import augmentation
from models.objectives.augmentation import AugmentationParameters
from tests.conftest import Options
from tests.models.test_cycle_gan import batch

SIZE = 8


@pytest.fixture
def images() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 3, SIZE, SIZE)))


def draws(**values: list[float] | list[int]) -> AugmentationParameters:
    """Parameters for two images: the given values, otherwise those of the identity."""
    nothing = {"brightness": [0.0, 0.0], "saturation": [1.0, 1.0], "contrast": [1.0, 1.0]}
    place = {"down": [0, 0], "right": [0, 0], "top": [SIZE, SIZE], "left": [SIZE, SIZE]}
    return AugmentationParameters(**{name: torch.tensor(value) for name, value in (nothing | place | values).items()})


def test_other_values_of_augment_are_the_identity(images: Tensor) -> None:
    for name in ("none", "basic"):
        assert augmentation.for_discriminators(name)(images) is images
    torch.testing.assert_close(augmentation.apply(images, draws()), images)
    assert not torch.equal(augmentation.for_discriminators("diffaug")(images), images)


def test_color_jitter_matches_its_formula(images: Tensor) -> None:
    made = augmentation.apply(images, draws(brightness=[0.25, -0.5], saturation=[0.0, 1.5], contrast=[1.0, 0.5]))
    for image, result, (brightness, saturation, contrast) in zip(
        images.numpy(), made.numpy(), [(0.25, 0.0, 1.0), (-0.5, 1.5, 0.5)], strict=True
    ):
        expected = image + brightness
        gray = (expected[0] + expected[1] + expected[2]) / 3
        expected = np.stack([gray + saturation * (channel - gray) for channel in expected])
        expected = expected.mean() + contrast * (expected - expected.mean())
        np.testing.assert_allclose(result, expected, atol=1e-12)


def test_translation_shifts_each_image_and_fills_with_zeros(images: Tensor) -> None:
    made = augmentation.apply(images, draws(down=[1, 0], right=[0, -2]))
    expected = torch.zeros_like(images)
    expected[0, :, 1:] = images[0, :, :-1]
    expected[1, :, :, :-2] = images[1, :, :, 2:]
    torch.testing.assert_close(made, expected)


def test_cutout_zeroes_half_the_height_and_width(images: Tensor) -> None:
    made = augmentation.apply(images, draws(top=[2, -2], left=[3, 6]))
    expected = images.clone()
    expected[0, :, 2:6, 3:7] = 0
    expected[1, :, 0:2, 6:8] = 0  # the rest of the cutout is outside the image
    torch.testing.assert_close(made, expected)


def test_random_parameters_cover_their_ranges_and_depend_on_the_seed() -> None:
    torch.manual_seed(1)
    made = AugmentationParameters.draw(4000, SIZE, 2 * SIZE)
    ranges = {
        **{"brightness": (-0.5, 0.5), "saturation": (0, 2), "contrast": (0.5, 1.5)},
        **{"down": (-1, 1), "right": (-2, 2), "top": (-2, SIZE - 2), "left": (-4, 2 * SIZE - 4)},
    }
    for name, (least, most) in ranges.items():
        values = getattr(made, name).double()
        assert (values.min(), values.max()) == pytest.approx((least, most), abs=2e-3), name
        assert values.mean() == pytest.approx((least + most) / 2, abs=0.05 * (most - least)), name
    torch.manual_seed(1)
    again = AugmentationParameters.draw(4000, SIZE, 2 * SIZE)
    for field in dataclasses.fields(AugmentationParameters):
        assert torch.equal(getattr(made, field.name), getattr(again, field.name))


def test_gradients_pass_through(images: Tensor) -> None:
    settings = draws(brightness=[0.3, 0.1], saturation=[0.5, 2.0], contrast=[0.7, 1.2], right=[1, -1], top=[1, 3])
    settings = dataclasses.replace(settings, left=torch.tensor([2, 2]))
    images.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augmentation.apply(x, settings), [images])


def test_cycle_gan_augments_all_discriminator_inputs(options: Options) -> None:
    """Discriminators see augmented images in both phases, and gradients reach the generators."""
    model = create_model(options("--augment", "diffaug", "--batch_size", 2))
    model.setup(model.opt)
    seen: list[tuple[str, Tensor]] = []
    for name in ("D_A", "D_B"):
        network = model.networks()[name]
        network.register_forward_pre_hook(lambda _, inputs, name=name: seen.extend((name, x) for x in inputs[0]))
    model.set_input(batch(model.opt, 0, count=2, dtype=torch.float32))
    model.optimize_parameters()
    shown = {"D_A": [model.real_B, model.fake_B], "D_B": [model.real_A, model.fake_A]}
    assert len(seen) == 12  # two images, by each discriminator: fakes for G, reals and fakes for D
    for name, image in seen:
        assert (image == 0).all(dim=0).any()  # the cutout
        assert not any(torch.equal(image, other) for images in shown[name] for other in images)
    for name in ("G_A", "G_B"):
        assert all(parameter.grad.isfinite().all() for parameter in model.networks()[name].parameters())


def test_augment_none_does_not_change_cycle_gan(options: Options) -> None:
    results = []
    for flags in ([], ["--augment", "none"]):
        torch.manual_seed(0)
        model = create_model(options(*flags))
        model.setup(model.opt)
        model.set_input(batch(model.opt, 0, dtype=torch.float32))
        model.optimize_parameters()
        results.append(model.get_current_losses())
    assert results[0] == results[1]
