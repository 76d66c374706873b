"""load_generator: from a run's folder alone, the pixels of test.py --eval, and errors that name the remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.formats.image_reader import UnreadableImage
from inference import load_generator
from models import create_model
from options import TrainOptions
from tests.conftest import SMALL, fitting, tile, write_tiles
from tests.integration.conftest import Command
from util.errors import UserError


def save_run(checkpoints: Path, name: str, *flags: str) -> Path:
    """The folder of a run with untrained weights, whose dataset never existed."""
    where = ["--dataroot", str(checkpoints / "gone"), "--checkpoints_dir", str(checkpoints), "--name", name]
    options = TrainOptions()
    opt = options.parse([*where, *fitting(SMALL, flags), "--init_gain", "0.2"])
    torch.manual_seed(0)
    model = create_model(opt)
    model.setup(opt)
    folder = checkpoints / name
    folder.mkdir(parents=True)
    model.save_networks("latest")
    options.save(opt, folder, {})
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A CycleGAN from gray to color."""
    return save_run(tmp_path / "checkpoints", "run", "--input_nc", "1", "--lambda_identity", "0")


def test_it_gives_the_pixels_of_the_test_program(run: Path, command: Command, tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        write_tiles(tmp_path / "tiles" / folder, 1, width=40, height=36)
    flags = ["--dataroot", "tiles", "--name", "run", "--eval", "--preprocess", "none", "--num_threads", "0"]
    command("test.py", *flags)
    images = tmp_path / "results" / "run" / "test_latest" / "images"
    torch.set_num_threads(1)
    for direction, source, fake in (("AtoB", "testA", "fake_B"), ("BtoA", "testB", "fake_A")):
        translate = load_generator(run, direction=direction, device="cpu")
        found = translate(Image.open(tmp_path / "tiles" / source / "00.png"))
        expected = Image.open(images / f"00_{fake}.png")
        assert found.mode == ("RGB" if direction == "AtoB" else "L")
        assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(expected.convert("RGB")))


def test_a_path_is_read(run: Path, tmp_path: Path) -> None:
    tile(0, 16, 12).save(tmp_path / "tile.png")
    translate = load_generator(run, device="cpu")
    assert translate(tmp_path / "tile.png").tobytes() == translate(Image.open(tmp_path / "tile.png")).tobytes()
    with pytest.raises(UnreadableImage, match="no longer exists"):
        translate(str(tmp_path / "gone.png"))


@pytest.mark.parametrize("size", [(40, 36), (37, 41), (5, 3), (1, 9)])
def test_any_size_comes_back(run: Path, size: tuple[int, int]) -> None:
    assert load_generator(run, device="cpu")(tile(0, *size)).size == size


def test_modes_of_pil_are_converted(run: Path) -> None:
    translate = load_generator(run, device="cpu")
    gray = tile(0, 16, 16).convert("L")
    assert translate(gray).tobytes() == translate(gray.convert("RGB")).tobytes()
    deep = Image.fromarray(np.asarray(gray, dtype=np.uint16) * 257)
    assert translate(deep).tobytes() == translate(gray).tobytes()


def test_a_run_trained_from_B_to_A_keeps_the_meaning_of_directions(tmp_path: Path) -> None:
    run = save_run(tmp_path, "back", "--direction", "BtoA")
    image = tile(0, 16, 16)
    default, to_A, to_B = (load_generator(run, direction)(image).tobytes() for direction in (None, "BtoA", "AtoB"))
    assert default == to_A != to_B


@pytest.mark.parametrize("model", ["pix2pix", "cut", "colorization", "pix2pix_hd", "template"])
def test_models_of_one_direction_refuse_the_other(tmp_path: Path, model: str) -> None:
    flags = ["--netG", "global", "--ndf", "2", "--netD", "n_layers", "--n_layers_D", "1"] if "hd" in model else []
    run = save_run(tmp_path, "one_way", "--model", model, "--netG", "resnet_6blocks", *flags)
    assert load_generator(run)(tile(0, 20, 20)).size == (20, 20)
    with pytest.raises(UserError, match=f"--model {model} translates in one direction only"):
        load_generator(run, "BtoA")


def test_mistakes_are_explained(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--model dcgan generates images from latents"):
        load_generator(save_run(tmp_path, "noise", "--model", "dcgan"))
    with pytest.raises(UserError, match="translates maps of class ids"):
        load_generator(save_run(tmp_path, "ids", "--model", "pix2pix", "--label_nc", "3", "--netG", "resnet_6blocks"))
    with pytest.raises(UserError, match="nowhere is not a folder: expected the folder of a run"):
        load_generator(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"7_net_G_A\.pth is missing"):
        load_generator(run, epoch="7")
    with pytest.raises(UserError, match="direction='AtoC' must be 'AtoB' or 'BtoA'"):
        load_generator(run, direction="AtoC")  # type: ignore[arg-type]
