"""Images of any size with every model: those too small for its networks are named and skipped, the others fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from data import create_dataset
from models import create_model
from models.base_model import BaseModel
from models.networks.sizes import pad_to_fit, padding
from tests.conftest import Options, tile
from util.errors import UserError
from util.stage import Stage

# Flags, the smallest side in training and in testing, and the multiple in training, all in pixels.
CASES: dict[str, tuple[list[str], int, int, int]] = {
    "cycle_gan": (["--model", "cycle_gan"], 24, 8, 4),
    "cycle_gan, pixel": (["--model", "cycle_gan", "--netD", "pixel"], 8, 8, 4),
    "cycle_gan, 5 layers": (["--model", "cycle_gan", "--netD", "n_layers", "--n_layers_D", "5"], 96, 8, 4),
    "cycle_gan, no GAN": (["--model", "cycle_gan", "--lambda_GAN", "0"], 8, 8, 4),
    "cut": (["--model", "cut"], 24, 8, 4),
    "template": (["--model", "template"], 24, 8, 4),
    "pix2pix, unet_128": (["--model", "pix2pix", "--netG", "unet_128"], 65, 65, 128),
    "pix2pix, classes": (["--model", "pix2pix", "--label_nc", "255"], 24, 8, 4),
    "colorization": (["--model", "colorization", "--phase", "trainA"], 24, 8, 4),
    "pix2pix_hd": (["--model", "pix2pix_hd"], 48, 8, 4),
    "pix2pix_hd, global": (["--model", "pix2pix_hd", "--netG", "global", "--num_D", "1"], 32, 32, 16),
    "pix2pix_hd, local": (["--model", "pix2pix_hd", "--netG", "local", "--ngf", "2", "--num_D", "3"], 96, 64, 32),
}
SIZES = [(128, 128), (128, 128), (133, 129), (96, 96), (64, 65), (24, 96), (12, 12), (8, 9), (5, 64), (7, 7), (1, 1)]


@pytest.fixture
def dataroot(tmp_path: Path) -> Path:
    """Pairs of images of these sizes."""
    for folder in ("trainA", "trainB"):
        (tmp_path / "sizes" / folder).mkdir(parents=True)
        for number, size in enumerate(SIZES):
            image = tile(number, *size)
            if folder == "trainA":  # gray, or class ids
                image = image.convert("L").point(lambda gray: gray % 255)
            image.save(tmp_path / "sizes" / folder / f"{number:02}.png")
    return tmp_path / "sizes"


def prepare(case: str, options: Options, dataroot: Path, stage: Stage) -> tuple[BaseModel, list[str], list[dict]]:
    """A model, the messages of its loader, and the batches of an epoch."""
    flags = ["--dataroot", str(dataroot), "--preprocess", "none", "--crop_size", "128", "--load_size", "128"]
    opt = options(*flags, *CASES[case][0])
    torch.manual_seed(0)
    model = create_model(opt)
    model.setup(opt)
    loader = create_dataset(opt, stage)
    loader.require_sizes(model.image_sizes(stage))
    printed: list[str] = []
    loader.print_message = printed.append
    return model, printed, list(loader)


def named(printed: list[str]) -> set[int]:
    """The numbers of the images that were named as skipped."""
    lines = [line for line in printed if line.startswith("skipped unreadable image ")]
    return {int(Path(line.split(": ")[0]).stem) for line in lines}


def rounded(size: tuple[int, int]) -> list[int]:
    return [max(4, round(side / 4) * 4) for side in size]


@pytest.mark.parametrize("case", CASES)
def test_training_skips_what_does_not_fit(case: str, options: Options, dataroot: Path) -> None:
    _, smallest, _, multiple = CASES[case]
    model, printed, batches = prepare(case, options, dataroot, Stage.TRAIN)
    unfit = {
        number
        for number, size in enumerate(map(rounded, SIZES))
        if min(size) < smallest or any(side % multiple for side in size)
    }
    assert unfit and named(printed) == unfit
    for batch in batches:
        model.set_input(batch)
        model.optimize_parameters()
    assert all(torch.isfinite(torch.tensor(list(model.get_current_losses().values()))))


@pytest.mark.parametrize("case", CASES)
def test_testing_keeps_the_size_of_every_image(case: str, options: Options, dataroot: Path) -> None:
    smallest = CASES[case][2]
    model, printed, batches = prepare(case, options, dataroot, Stage.VALIDATE)
    unfit = {number for number, size in enumerate(SIZES) if min(size) < smallest}
    assert unfit and named(printed) == unfit and len(batches) == len(SIZES) - len(unfit)
    with model.validating():
        for batch in batches:
            model.set_input(batch)
            model.test()
            width, height = SIZES[int(Path(model.get_image_paths()[0]).stem)]
            visuals = model.get_current_visuals()
            assert len(visuals) > 1
            assert {visual.shape[-2:] for visual in visuals.values()} == {(height, width)}


def test_a_folder_without_a_fitting_image_names_the_reason(options: Options, dataroot: Path) -> None:
    for path in dataroot.rglob("*.png"):
        if int(path.stem) < SIZES.index((12, 12)):
            path.unlink()
    with pytest.raises(UserError, match=r"^20 images in a row of .* too small for netD_B, which needs at least 24x24$"):
        prepare("cycle_gan", options, dataroot, Stage.TRAIN)


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_a_cache_of_a_model_for_small_images_is_checked_too(options: Options, dataroot: Path, cache: str) -> None:
    for case in ("cycle_gan, pixel", "cycle_gan"):
        CASES[f"{case}, cached"] = ([*CASES[case][0], "--cache", cache], *CASES[case][1:])
        _, printed, _ = prepare(f"{case}, cached", options, dataroot, Stage.TRAIN)
        del CASES[f"{case}, cached"]
    assert named(printed) == {number for number, size in enumerate(map(rounded, SIZES)) if min(size) < 24}


class Stretch(nn.Module):
    """Declares a multiple of 8, and adds the column's number to each pixel, so that a shift would show."""

    multiple, min_size = 8, 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not (x.shape[-1] % 8 or x.shape[-2] % 8)
        return x + torch.arange(x.shape[-1])


def test_padding_is_reflected_and_cropped_back() -> None:
    network, images = Stretch(), torch.rand(2, 3, 17, 21)
    padded = pad_to_fit(images, network)
    assert padded.shape == (2, 3, 24, 24)
    assert torch.equal(padded[..., :17, 21:], images[..., -4:-1].flip(-1))
    with padding([network]):
        assert torch.equal(network(images), images + torch.arange(21))
    assert pad_to_fit(images[..., :16, :16], network).shape == (2, 3, 16, 16)
    with pytest.raises(AssertionError):
        network(images)  # outside the context
