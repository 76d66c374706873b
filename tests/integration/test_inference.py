"""load_generator: from a run's folder alone, the pixels of test.py for every kind of image, in several threads."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data.formats.image_reader import UnreadableImage
from inference import load_generator
from models import create_model
from models.base_model import BaseModel
from options import TrainOptions
from tests.conftest import SMALL, fitting, tile, write_tiles
from tests.integration.conftest import ROOT
from util.errors import UserError


def save_run(checkpoints: Path, name: str, *flags: str) -> Path:
    """The folder of a run with untrained weights, whose dataset never existed."""
    where = ["--dataroot", str(checkpoints / "gone"), "--checkpoints_dir", str(checkpoints), "--name", name]
    options = TrainOptions()
    opt = options.parse([*where, *fitting(SMALL, flags), "--init_gain", "0.2"])
    torch.manual_seed(0)
    model = create_model(opt)
    model.setup(opt)
    set_running_statistics(model, opt.crop_size)
    folder = checkpoints / name
    folder.mkdir(parents=True)
    model.save_networks("latest")
    options.save(opt, folder, {})
    return folder


def set_running_statistics(model: BaseModel, size: int) -> None:
    """Give batch norms of generators the statistics of random images, without which their outputs would saturate."""
    for name, network in model.networks().items():
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
        if norms and convolutions and name.startswith("G"):  # not the generator of dcgan
            for norm in norms:
                norm.momentum = 1.0
            width = convolutions[0].in_channels
            with torch.no_grad():
                network(torch.rand(4, width, size, size) * 2 - 1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A CycleGAN from gray to color."""
    return save_run(tmp_path / "checkpoints", "run", "--input_nc", "1", "--lambda_identity", "0")


@pytest.fixture
def run_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run test.py in this process, in an empty folder; returns the folder of its images."""
    spec = importlib.util.spec_from_file_location("test_program", ROOT / "test.py")
    assert spec and spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    monkeypatch.chdir(tmp_path)

    def call(*flags: object) -> Path:
        arguments = ["test.py", "--num_threads", "0", "--device", "cpu", *map(str, flags)]
        monkeypatch.setattr(sys, "argv", arguments)
        assert program.main() == 0
        name = arguments[arguments.index("--name") + 1]
        return max((tmp_path / "results" / name).iterdir(), key=lambda path: path.stat().st_mtime_ns) / "images"

    return call


def rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


# Flags of the run, flags of test.py, settings of load_generator. test.py keeps dropout without --eval.
CHOICES: dict[str, tuple[list[str], list[str], dict[str, Any]]] = {
    "instance": ([], ["--eval"], {}),
    "dropout": (["--dropout", "--norm", "batch"], ["--eval"], {}),
    "statistics of the image": (["--no_dropout", "--norm", "batch"], [], {"norm": "image"}),
    "U-Net": (["--netG", "unet_128", "--norm", "batch", "--crop_size", "128", "--load_size", "128"], ["--eval"], {}),
    "bf16": ([], ["--eval", "--precision", "bf16"], {"precision": "bf16"}),
    "winograd": ([], ["--eval", "--conv", "winograd"], {"conv": "winograd"}),
    "tf32": ([], ["--eval", "--precision", "tf32"], {"precision": "tf32"}),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("size", ["input", "run"])
def test_it_gives_the_pixels_of_the_test_program(
    choice: str, size: str, run_test: Callable[..., Path], tmp_path: Path
) -> None:
    training, testing, settings = CHOICES[choice]
    side = 128 if choice == "U-Net" else 32
    run = save_run(tmp_path / "checkpoints", "run", "--input_nc", "1", "--lambda_identity", "0", *training)
    for folder in ("testA", "testB"):
        write_tiles(tmp_path / "tiles" / folder, 1, width=70, height=66)
    preprocess = ["--preprocess", "none"] if size == "input" else []
    images = run_test("--dataroot", "tiles", "--name", "run", *testing, *preprocess)
    for direction, source, fake in (("AtoB", "testA", "fake_B"), ("BtoA", "testB", "fake_A")):
        translate = load_generator(run, direction, device="cpu", size=size, **settings)  # type: ignore[arg-type]
        found = translate(tmp_path / "tiles" / source / "00.png")
        assert found.size == ((70, 66) if size == "input" else (side, side))
        assert found.mode == ("RGB" if direction == "AtoB" else "L")
        assert np.array_equal(rgb(found), rgb(Image.open(images / f"00_{fake}.png")))
        assert np.asarray(found).std() > 1 and np.mean((rgb(found) > 0) & (rgb(found) < 255)) > 0.3


@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop", "scale_width", "scale_width_and_crop"])
def test_the_size_of_the_run_is_that_of_every_preprocessing(
    preprocess: str, run_test: Callable[..., Path], tmp_path: Path
) -> None:
    run = save_run(tmp_path / "checkpoints", "run", "--model", "cut", "--preprocess", preprocess)
    write_tiles(tmp_path / "tiles", 1, width=70, height=50)
    images = run_test("--dataroot", "tiles", "--name", "run", "--model", "test", "--eval", "--load_size", "44")
    translate = load_generator(run, device="cpu", size="run", load_size=44)
    found = translate(tmp_path / "tiles" / "00.png")
    assert np.array_equal(np.asarray(found), np.asarray(Image.open(images / "00_fake.png")))
    pixels = np.asarray(Image.open(tmp_path / "tiles" / "00.png"))
    assert np.array_equal(translate(pixels), np.asarray(found))
    as_tensor = translate(torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1))
    levels = (as_tensor.permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(levels - np.asarray(found)).mean() < 1  # resized without rounding


def test_colorization_and_class_ids_give_the_pixels_of_the_test_program(
    run_test: Callable[..., Path], tmp_path: Path
) -> None:
    (color,) = write_tiles(tmp_path / "colors" / "test", 1, width=37, height=41)
    run = save_run(tmp_path / "checkpoints", "color", "--model", "colorization", "--netG", "resnet_6blocks")
    images = run_test("--dataroot", "colors", "--name", "color", "--eval", "--preprocess", "none")
    found = load_generator(run, device="cpu")(color)
    assert np.array_equal(np.asarray(found), np.asarray(Image.open(images / "00_fake_B_rgb.png")))

    ids = np.arange(37 * 41, dtype=np.uint8).reshape(41, 37) // 90
    for folder, picture in (("testA", Image.fromarray(ids)), ("testB", Image.open(color))):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        picture.save(tmp_path / "pairs" / folder / "00.png")
    run = save_run(tmp_path / "checkpoints", "ids", "--model", "pix2pix", "--label_nc", "3", "--netG", "resnet_6blocks")
    images = run_test("--dataroot", "pairs", "--name", "ids", "--eval", "--preprocess", "none")
    translate = load_generator(run, device="cpu")
    expected = np.asarray(Image.open(images / "00_fake_B.png"))
    assert np.array_equal(np.asarray(translate(tmp_path / "pairs" / "testA" / "00.png")), expected)
    assert np.array_equal(np.asarray(translate(Image.fromarray(ids))), expected)
    assert np.array_equal(translate(ids.astype(np.int64)), expected)
    tensor = translate(torch.from_numpy(ids)[None])
    assert np.array_equal(((tensor.numpy().transpose(1, 2, 0) + 1) * 127.5).round(), expected)
    for wrong, sentence in (
        (ids + 1, "class ids from 1 to 3: --label_nc 3 allows 0 to 2"),
        (ids / 1.0, "class ids of float64: must be integers"),
        (ids[..., None], r"an array of shape \(41, 37, 1\): class ids have the shape \(H, W\)"),
        (torch.zeros(3, 8, 8), r"a tensor of shape \(3, 8, 8\): class ids have the shape \(1, H, W\)"),
        (tile(0, 8, 8), "a PIL image of mode RGB: class ids are in mode L or P"),
    ):
        with pytest.raises(ValueError, match=f"^{sentence}"):
            translate(wrong)  # type: ignore[call-overload]


# Kinds of images.


@pytest.fixture
def color_run(tmp_path: Path) -> Path:
    """A CycleGAN of color images."""
    return save_run(tmp_path / "checkpoints", "color")


def bare(run: Path, x: np.ndarray) -> np.ndarray:
    """The output (H, W, C) in [-1, 1] of the bare network for x (H, W, C) in [-1, 1], with sides that it takes."""
    network = load_generator(run, device="cpu").model.generator()
    with torch.inference_mode():
        y = network(torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None])[0]
    return y.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float16", "float32", "float64"])
def test_arrays_come_back_in_their_type_and_range(color_run: Path, dtype: str) -> None:
    fractions = np.asarray(tile(0, 32, 24)) / 255
    white = 1 if "f" in dtype else 255 if dtype == "uint8" else 65535
    image = (fractions * white).astype(dtype)
    before = image.copy()
    found = load_generator(color_run, device="cpu")(image)
    assert found.dtype == np.dtype(dtype).newbyteorder("=") and found.shape == image.shape
    expected = (bare(color_run, image.astype(np.float64) / white * 2 - 1).astype(np.float64) + 1) / 2 * white
    tolerance = 1e-3 if dtype == "float16" else 1e-5 if "f" in dtype else 0.51 if dtype == "uint8" else 0.7
    assert np.abs(found - expected).max() < tolerance
    assert np.array_equal(image, before) and expected.std() > 0.01 * white


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_come_back_in_their_type_as_the_network_gives_them(color_run: Path, dtype: torch.dtype) -> None:
    x = (torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1).to(dtype).requires_grad_()
    translate = load_generator(color_run, device="cpu")
    found = translate(x)
    assert found.dtype == dtype and found.shape == x.shape and not found.requires_grad and not found.is_inference()
    network = translate.model.generator()
    with torch.inference_mode():
        expected = network(x.detach().float())
    assert torch.equal(found, expected.to(dtype))
    (found * torch.ones((), requires_grad=True)).sum().backward()  # a tensor like others
    assert translate(x[0]).shape == (3, 24, 32)


def test_gray_arrays(run: Path, color_run: Path) -> None:
    gray = np.asarray(tile(0, 20, 16).convert("L"))
    to_color, to_gray = (load_generator(run, direction, device="cpu") for direction in ("AtoB", "BtoA"))
    assert np.array_equal(to_color(gray), to_color(gray[..., None])) and to_color(gray).shape == (16, 20, 3)
    color = np.asarray(tile(1, 20, 16))
    assert to_gray(color).shape == (16, 20, 1) and to_gray(gray).shape == (16, 20)
    assert np.array_equal(to_gray(gray), np.asarray(to_gray(Image.fromarray(gray))))
    both = load_generator(color_run, device="cpu")
    assert np.array_equal(both(gray), both(np.stack([gray] * 3, axis=2)))


def test_deep_gray_files_and_images_stay_deep(tmp_path: Path) -> None:
    run = save_run(tmp_path / "checkpoints", "gray", "--input_nc", "1", "--output_nc", "1")
    translate = load_generator(run, device="cpu")
    deep = np.random.default_rng(0).integers(0, 65536, (16, 20), dtype=np.uint16)
    expected = translate(deep)
    assert (expected % 257).any()
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        for source in (tmp_path / name, Image.open(tmp_path / name)):
            found = translate(source)
            assert found.mode == "I;16" and np.array_equal(np.asarray(found), expected), name
    fractions = (deep / 65535).astype(np.float32)
    found = translate(Image.fromarray(fractions))
    assert found.mode == "F" and np.array_equal(np.asarray(found), translate(fractions))


@pytest.mark.parametrize("make", [lambda a: a[::-1, ::-1], lambda a: np.asfortranarray(a), lambda a: a[::2, 1::2]])
def test_views_of_arrays(color_run: Path, make: Callable[[np.ndarray], np.ndarray]) -> None:
    image = np.asarray(tile(0, 34, 26))  # read-only
    translate = load_generator(color_run, device="cpu")
    assert np.array_equal(translate(make(image)), translate(np.array(make(image), order="C")))


def test_a_list_is_a_batch_of_any_kinds_and_sizes(color_run: Path, tmp_path: Path) -> None:
    tile(1, 20, 16).save(tmp_path / "a.png")
    small = [tile(i, 20, 16) for i in (2, 3)]
    images: list[Any] = [
        *(small[0], np.asarray(tile(4, 30, 16)), tmp_path / "a.png", np.asarray(small[1], dtype=np.float32) / 255),
        torch.zeros(3, 16, 20),
    ]
    translate = load_generator(color_run, device="cpu")
    passes: list[torch.Size] = []
    translate.model.generator().register_forward_pre_hook(lambda network, x: passes.append(x[0].shape))
    found = translate(images)
    assert sorted(passes) == [(1, 3, 16, 32), (4, 3, 16, 20)]
    for image, translation in zip(images, found, strict=True):
        single = translate(image)
        assert type(translation) is type(single)
        if isinstance(single, torch.Tensor):
            assert torch.allclose(translation, single, atol=1e-5)
        else:
            difference = np.asarray(translation).astype(float) - np.asarray(single)
            assert np.abs(difference).max() <= (1 if np.asarray(single).dtype == np.uint8 else 1e-5)
    assert isinstance(translate(tuple(small)), list)


# What a translation must not depend on.


@pytest.mark.parametrize("settings", [{}, {"norm": "image"}, {"precision": "bf16"}, {"size": "run"}])
def test_several_threads_get_the_bits_of_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    run = save_run(tmp_path, "run", "--norm", "batch", "--dropout")
    if "precision" not in settings:
        settings = {"conv": "winograd", **settings}  # which caches transformed filters
    translate = load_generator(run, device="cpu", **settings)
    images = [np.asarray(tile(i, 20 + 7 * (i % 5), 40 - 3 * (i % 7))) for i in range(24)]
    serial = [translate(image) for image in images]
    # Another translator, so that nothing is cached when the threads start.
    translate = load_generator(run, device="cpu", **settings)
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(translate, images * 2))
    assert all(np.array_equal(a, b) for a, b in zip(serial * 2, parallel, strict=True))
    assert len({image.tobytes() for image in serial}) == len(images)


def test_image_statistics_are_those_of_training_and_leave_no_trace(tmp_path: Path) -> None:
    run = save_run(tmp_path, "run", "--norm", "batch", "--dropout")
    translate = load_generator(run, device="cpu", norm="image")
    reference = load_generator(run, device="cpu").model.generator()
    state = copy.deepcopy(reference.state_dict())
    reference.train()
    for module in reference.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    x = torch.rand(3, 3, 16, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = torch.cat([reference(image) for image in x.split(1)])
    found = translate(x)
    assert torch.equal(found, expected) and torch.equal(found, translate(x))
    assert torch.equal(translate(x[:1]), found[:1])  # not of the batch
    assert set(translate.model.generator().state_dict()) < set(state)
    running = load_generator(run, device="cpu")(x)
    assert (running - found).abs().max() > 1e-3


def test_precisions_take_turns(color_run: Path) -> None:
    x = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain = load_generator(color_run, device="cpu")
    expected = plain(x)
    others = {name: load_generator(color_run, device="cpu", precision=name) for name in ("tf32", "bf16", "fp16")}
    for name, tolerance in (("tf32", 1e-6), ("bf16", 0.02), ("fp16", 0.002)):
        found = others[name](x)
        assert torch.get_float32_matmul_precision() == ("high" if name == "tf32" else "highest")
        assert found.dtype == torch.float32 and (found - expected).abs().mean() < tolerance
        assert name == "tf32" or not torch.equal(found, expected)
        assert torch.equal(plain(x), expected)
        assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32


def test_a_path_is_read(run: Path, tmp_path: Path) -> None:
    tile(0, 16, 12).save(tmp_path / "tile.png")
    translate = load_generator(run, device="cpu")
    assert translate(tmp_path / "tile.png").tobytes() == translate(Image.open(tmp_path / "tile.png")).tobytes()
    with pytest.raises(UnreadableImage, match="does not exist"):
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
    with pytest.raises(UserError, match="nowhere is not a folder: expected the folder of a run"):
        load_generator(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"7_net_G_A\.pth is missing"):
        load_generator(run, epoch="7")
    with pytest.raises(UserError, match="direction='AtoC' must be 'AtoB' or 'BtoA'"):
        load_generator(run, direction="AtoC")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="norm='batch' must be 'running' or 'image'; the norm of the network is netw"):
        load_generator(run, norm="batch")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="size='original' must be 'input' or 'run'"):
        load_generator(run, size="original")  # type: ignore[arg-type]


def test_a_folder_of_weights_alone(tmp_path: Path) -> None:
    run = save_run(
        tmp_path, "batch", "--model", "pix2pix", "--norm", "batch", "--no_dropout", "--netG", "resnet_6blocks"
    )
    expected = load_generator(run, device="cpu", norm="image")(tile(0, 16, 16))
    for name in ("options.json", "manifest.json"):
        (run / name).unlink()
    described: dict[str, Any] = {"netG": "resnet_6blocks", "ngf": 4, "no_dropout": True}
    translate = load_generator(run, device="cpu", norm="image", network_norm="batch", **described)
    assert translate(tile(0, 16, 16)).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ([], "an empty list or batch of images: pass at least one image"),
        (torch.zeros(0, 3, 8, 8), "an empty list or batch of images"),
        (None, "an image of type NoneType: must be a path, a PIL image, a NumPy array"),
        (b"photo", "an image of type bytes: must be"),
        ([[np.zeros((8, 8, 3))]], "an image of type list: must be"),
        (
            np.zeros((8, 8, 4), np.uint8),
            r"an array of shape \(8, 8, 4\) has 4 channels, but the network takes 3: pass ",
        ),
        (np.zeros((8, 8, 1)), r"an array of shape \(8, 8, 1\) has 1 channels, but the network takes 3"),
        (
            np.zeros((3, 8, 8)),
            r"an array of shape \(3, 8, 8\) has 8 channels, but the network takes 3: pass uint8 \(H, W",
        ),
        (np.zeros((2, 8, 8, 3)), r"an array of shape \(2, 8, 8, 3\): must be \(H, W, C\) or \(H, W\)"),
        (np.zeros((0, 8, 3)), r"an array of shape \(0, 8, 3\): it has no pixels"),
        (np.zeros((8, 8, 3), np.int64), r"an array of int64: must be uint8 \(0 to 255\), uint16 \(0 to 65535\) or"),
        (np.zeros((8, 8, 3), bool), "an array of bool: must be uint8"),
        (np.full((8, 8, 3), 255.0), "an array of float64 with values from 255 to 255: must be from 0 to 1"),
        (np.full((8, 8, 3), -0.1), "an array of float64 with values from -0.1 to -0.1: must be from 0 to 1"),
        (np.full((8, 8, 3), np.nan), "an array of float64 with values from nan to nan: must be from 0 to 1"),
        (
            torch.zeros(8, 8, 3),
            r"a tensor of shape \(8, 8, 3\) has 8 channels, but the network takes 3: pass \(3, H, W\)",
        ),
        (torch.zeros(8, 8), r"a tensor of shape \(8, 8\): must be \(C, H, W\)"),
        ([torch.zeros(1, 3, 8, 8)], r"a tensor of shape \(1, 3, 8, 8\): must be \(C, H, W\), or .* outside a list"),
        (torch.zeros(3, 8, 0), r"a tensor of shape \(3, 8, 0\): it has no pixels"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "a tensor of torch.uint8: must be floating point from -1 to 1"),
        (torch.full((3, 8, 8), 1.5), "a tensor with values from 1.5 to 1.5: must be from -1 to 1"),
        (torch.full((3, 8, 8), torch.nan), "a tensor with values from nan to nan"),
        (torch.full((3, 8, 8), -torch.inf), "a tensor with values from -inf to -inf"),
        (Image.new("RGBA", (8, 8)), "is transparent everywhere"),
    ],
)
def test_other_images_are_value_errors(color_run: Path, image: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        load_generator(color_run, device="cpu")(image)


def test_a_translation_that_is_not_finite_is_an_error(color_run: Path) -> None:
    translate = load_generator(color_run, device="cpu")
    with torch.no_grad():
        next(translate.model.generator().parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"^the translation has values that are not finite"):
        translate(tile(0, 16, 16))


def test_many_channels_are_for_arrays_and_tensors(tmp_path: Path) -> None:
    run = save_run(tmp_path, "bands", "--input_nc", "6", "--output_nc", "5", "--lambda_identity", "0")
    translate = load_generator(run, device="cpu")
    assert translate(np.zeros((16, 20, 6), np.uint8)).shape == (16, 20, 5)
    with pytest.raises(ValueError, match=r"^a PIL image: the network takes 6 channels, so pass an array or a tensor"):
        translate(tile(0, 16, 16))
    with pytest.raises(
        ValueError, match="the translation has 6 channels, and a PIL image has at most 4: pass an array"
    ):
        back = save_run(tmp_path, "back", "--input_nc", "3", "--output_nc", "6", "--lambda_identity", "0")
        load_generator(back, device="cpu")(tile(0, 16, 16))
