"""scripts/translate.py: names, formats and sizes are kept, inputs are safe, and interrupted commands continue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, JpegImagePlugin

from data.formats import color_profile
from inference import Translator, load_generator
from scripts import translate
from tests.conftest import tile
from tests.data.formats import writers
from tests.integration.test_inference import save_run
from util.errors import UserError, run_main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CycleGAN of color images."""
    return save_run(tmp_path_factory.mktemp("checkpoints"), "run", "--norm", "batch")


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["translate.py", *map(str, arguments)])
    return translate.main()


def files(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def as_in_python(run: Path, path: Path) -> np.ndarray:
    """The translation of a file as 8-bit RGB by the Python API."""
    return np.asarray(load_generator(run, device="cpu")(path))


def test_folders_and_files_keep_name_size_and_pixels(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, size in (("a.png", (20, 14)), ("sub/deep/b.bmp", (9, 33)), ("sub/c.ppm", (16, 16)), ("notes.txt", None)):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if size:
            tile(len(name), *size).save(path)
        else:
            path.write_text("not an image")
    tile(9, 13, 11).save("single.WEBP", lossless=True)
    before = {name: Path("photos", name).read_bytes() for name in files("photos")}
    assert call(monkeypatch, run, "photos", "single.WEBP", "--out", "out/new", "--device", "cpu") == 0
    assert (
        capsys.readouterr().out
        == "weights latest of run on cpu\nout/new: translated 4 of 4 images (1 other files ignored)\n"
    )
    assert files("out/new") == ["a.png", "single.WEBP", "sub/c.ppm", "sub/deep/b.bmp", "translation.json"]
    for name in ("a.png", "sub/c.ppm", "sub/deep/b.bmp", "single.WEBP"):
        source = Path(name) if name == "single.WEBP" else Path("photos", name)
        with Image.open(Path("out/new", name)) as found, Image.open(source) as original:
            assert (found.size, found.format) == (original.size, original.format)
            assert np.array_equal(np.asarray(found), as_in_python(run, source))
    assert {name: Path("photos", name).read_bytes() for name in files("photos")} == before


def test_direction_norm_and_epoch_select_the_generator(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for network in ("G_A", "G_B", "D_A", "D_B"):
        weights = torch.load(run / f"latest_net_{network}.pth", weights_only=True)
        torch.save(weights, run / f"7_net_{network}.pth")
    tile(1, 20, 16).save("a.png")
    flags = [["--direction", "BtoA"], ["--norm", "image"], ["--epoch", "7"]]
    settings: list[dict[str, Any]] = [{"direction": "BtoA"}, {"norm": "image"}, {"epoch": "7"}]
    found = []
    for number, (flag, setting) in enumerate(zip(flags, settings, strict=True)):
        call(monkeypatch, run, "a.png", "--out", str(number), "--device", "cpu", *flag)
        found.append(np.asarray(Image.open(f"{number}/a.png")))
        assert np.array_equal(found[-1], np.asarray(load_generator(run, device="cpu", **setting)(Path("a.png"))))
    assert not np.array_equal(found[0], found[2]) and not np.array_equal(found[1], found[2])
    with pytest.raises(UserError, match=r"8_net_G_A\.pth is missing"):
        call(monkeypatch, run, "a.png", "--out", "new", "--epoch", "8")


def test_a_folder_of_weights_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile(1, 20, 16).save("a.png")
    Path("mine").mkdir()
    Path("mine/latest_net_G.pth").write_bytes((run / "latest_net_G_A.pth").read_bytes())
    arguments = ("mine", "a.png", "--out", "out", "--device", "cpu")
    with pytest.raises(UserError, match=r"^mine has no options\.json: give the options of its networks"):
        call(monkeypatch, *arguments)
    described = ("netG=resnet_6blocks", "ngf=4", "norm=batch", "no_dropout=true")
    assert call(monkeypatch, *arguments, "--set", *described) == 0
    assert np.array_equal(np.asarray(Image.open("out/a.png")), as_in_python(run, Path("a.png")))
    for setting, sentence in (
        ("netG", "^--set netG: expected NAME=VALUE"),
        ("epoch=7", "^--set epoch=7: use --epoch 7$"),
        ("netG={", r"^--set netG={: { is not a number, a word, true or false$"),
        ("nonsense=1", "nonsense"),
        ("size=run", "^--set size=run: size is not an option of a run$"),
    ):
        with pytest.raises(UserError, match=sentence):
            call(monkeypatch, *arguments, "--set", *described, setting)
    with pytest.raises(
        UserError, match=r"^--out out has translations made with different options: choose another folder"
    ):
        call(monkeypatch, *arguments, "--set", *described, "icc=srgb")


def test_jpeg_keeps_subsampling_resolution_and_profile(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    tile(1, 40, 24).save("full.jpg", subsampling=0, dpi=(300, 300), icc_profile=profile)
    tile(2, 40, 24).save("half.jpeg", subsampling=2, exif=exif)
    tile(3, 40, 24).convert("L").save("gray.jpg")
    assert call(monkeypatch, run, "full.jpg", "half.jpeg", "gray.jpg", "--out", "out") == 0
    full, half, gray = (Image.open(f"out/{name}") for name in ("full.jpg", "half.jpeg", "gray.jpg"))
    assert (full.size, half.size, gray.size) == ((40, 24), (24, 40), (40, 24))
    assert [JpegImagePlugin.get_sampling(image) for image in (full, half)] == [0, 2]
    assert full.info["dpi"] == (300, 300) and full.info["icc_profile"] == profile and not half.getexif()
    Image.fromarray(as_in_python(run, Path("full.jpg"))).save("expected.jpg", quality=95, subsampling=0)
    assert np.array_equal(np.asarray(full), np.asarray(Image.open("expected.jpg")))


def test_colors_converted_to_srgb_have_no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile(1, 40, 24).save("a.jpg", icc_profile=color_profile.from_gamma(1 / 1.8, None))
    for icc, kept in (("ignore", True), ("srgb", False)):
        run = save_run(tmp_path, icc, "--icc", icc)
        assert call(monkeypatch, run, "a.jpg", "--out", f"out_{icc}", "--device", "cpu") == 0
        assert ("icc_profile" in Image.open(f"out_{icc}/a.jpg").info) == kept


@pytest.mark.parametrize("dpi", [(0, 0), (10**6, 10**6), (72, 300)])
def test_resolutions(run: Path, dpi: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    tile(1, 40, 24).save("a.png", dpi=dpi)
    tifffile.imwrite("a.tif", np.asarray(tile(1, 40, 24)), photometric="rgb", resolution=dpi, resolutionunit="INCH")
    names = ["a.png", "a.tif"]
    if dpi[0] < 2**16:
        tile(1, 40, 24).save("a.jpg", dpi=dpi)
        names.append("a.jpg")
    assert call(monkeypatch, run, *names, "--out", "out", "--device", "cpu") == 0
    for name in names if dpi == (72, 300) else ():
        assert Image.open(f"out/{name}").info["dpi"] == pytest.approx(dpi, rel=1e-3)


def test_class_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = save_run(tmp_path, "ids", "--model", "pix2pix", "--label_nc", "3", "--netG", "resnet_6blocks")
    ids = np.arange(20 * 16, dtype=np.uint8).reshape(16, 20) // 110
    Image.fromarray(ids).save("ids.png")
    Image.fromarray(ids + 1).save("wrong.png")
    assert call(monkeypatch, run, "ids.png", "wrong.png", "--out", "out", "--device", "cpu") == 1
    assert np.array_equal(np.asarray(Image.open("out/ids.png")), load_generator(run, device="cpu")(ids))
    assert files("out") == ["ids.png", "translation.json"]


@pytest.mark.parametrize("channels", [1, 3])
def test_deep_files_stay_deep(channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = save_run(tmp_path, "deep", "--input_nc", str(channels), "--output_nc", str(channels))
    image = np.random.default_rng(0).integers(0, 65536, (14, 18, channels), dtype=np.uint16)
    writers.png(Path("deep.png"), image, 16, 2 if channels == 3 else 0)
    stored = image if channels > 1 else image[..., 0]
    colors = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite("deep.tif", stored, photometric=colors, resolution=(200, 200), resolutionunit="INCH")
    tifffile.imwrite("float.tif", (stored / 65535).astype(np.float32), photometric=colors)
    assert call(monkeypatch, run, "deep.png", "deep.tif", "float.tif", "--out", "out", "--device", "cpu") == 0
    expected = load_generator(run, device="cpu")(image)
    assert expected.dtype == np.uint16 and (expected % 257).any()
    with tifffile.TiffFile("out/deep.tif") as file:
        assert file.pages[0].get_resolution("INCH") == (200, 200)
        assert np.array_equal(file.asarray().reshape(image.shape), expected)
    floats = tifffile.imread("out/float.tif").reshape(image.shape)
    assert floats.dtype == np.float32
    assert np.array_equal(floats, load_generator(run, device="cpu")((image / 65535).astype(np.float32)))
    again = load_generator(run, device="cpu").converter.file(Path("out/deep.png"))[0]  # read by the 16-bit reader
    wanted = expected.astype(np.float32).transpose(2, 0, 1) * np.float32(255 / 65535) / 127.5 - 1
    assert np.allclose(again.numpy(), wanted, atol=1e-6)
    assert Image.open("out/deep.png").mode == ("I;16" if channels == 1 else "RGB")
    if channels == 1:
        Image.fromarray(image[..., 0]).save("deep.pgm")
        assert call(monkeypatch, run, "deep.pgm", "--out", "out", "--device", "cpu") == 0
        assert np.array_equal(np.asarray(Image.open("out/deep.pgm")), expected[..., 0])


def test_bands_of_a_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = save_run(tmp_path, "bands", "--input_nc", "6", "--output_nc", "5", "--lambda_identity", "0")
    image = np.random.default_rng(0).integers(0, 256, (14, 18, 6), dtype=np.uint8)
    tifffile.imwrite("bands.tif", image, photometric="minisblack", planarconfig="contig")
    tile(0, 18, 14).save("a.png")
    assert call(monkeypatch, run, "bands.tif", "a.png", "--out", "out", "--device", "cpu") == 1
    found = tifffile.imread("out/bands.tif")
    assert found.shape == (14, 18, 5) and np.array_equal(found, load_generator(run, device="cpu")(image))


def test_the_command_continues_and_does_not_mix_generators(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        tile(i, 12, 12).save(f"{i}.png")
    arguments = (run, "0.png", "1.png", "2.png", "--out", "out", "--device", "cpu")
    translate_file = Translator.translate_file

    def interrupt(self: Translator, path: Path) -> object:
        if path.name == "1.png":
            raise KeyboardInterrupt
        return translate_file(self, path)

    monkeypatch.setattr(Translator, "translate_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        call(monkeypatch, *arguments)
    assert "1 of 3 images are done: run the same command again to continue" in capsys.readouterr().err
    assert files("out") == ["0.png", "translation.json"]
    monkeypatch.setattr(Translator, "translate_file", translate_file)
    Path("out/0.png").write_bytes(b"stays")
    assert call(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.endswith("\nout: translated 2 of 3 images, 1 were there before\n")
    assert Path("out/0.png").read_bytes() == b"stays"
    with pytest.raises(UserError, match="has translations made with different weights, network: choose another"):
        call(monkeypatch, *arguments, "--direction", "BtoA")
    assert call(monkeypatch, *arguments, "--direction", "BtoA", "--overwrite") == 0
    assert json.loads(Path("out/translation.json").read_text())["network"] == "G_B"
    assert Image.open("out/0.png").size == (12, 12)
    Path("out/translation.json").unlink()
    with pytest.raises(UserError, match=r"has translations without a record in translation\.json: choose another"):
        call(monkeypatch, *arguments)


def test_an_interrupted_write_leaves_no_partial_file(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile(0, 12, 12).save("0.png")

    def interrupt(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        call(monkeypatch, run, "0.png", "--out", "out")
    assert files("out") == ["translation.json"]


def test_what_cannot_be_read_is_named_and_the_rest_is_done(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos").mkdir()
    for i in (0, 2):
        tile(i, 12, 12).save(f"photos/{i}.png")
    Path("photos/1.png").write_bytes(Path("photos/0.png").read_bytes()[:100])
    Path("photos/3.jpg").write_bytes(b"")
    assert call(monkeypatch, run, "photos", "--out", "out") == 1
    printed = capsys.readouterr()
    assert printed.out.endswith("\nout: translated 2 of 4 images, 2 skipped\n")
    assert "skipped: photos/1.png: " in printed.err and "skipped: photos/3.jpg: is empty (0 bytes)\n" in printed.err
    assert files("out") == ["0.png", "2.png", "translation.json"]
    translate_file = Translator.translate_file

    def exhaust(self: Translator, path: Path) -> object:
        if path.name == "0.png":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return translate_file(self, path)

    monkeypatch.setattr(Translator, "translate_file", exhaust)
    assert call(monkeypatch, run, "photos/0.png", "photos/2.png", "--out", "new") == 1
    assert "skipped: photos/0.png: needs more memory than is available\n" in capsys.readouterr().err
    assert files("new") == ["2.png", "translation.json"]


def test_channels_that_a_format_lacks_are_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save_run(tmp_path, "alpha", "--output_nc", "4", "--lambda_identity", "0")
    tile(0, 12, 12).save("a.jpg")
    tile(0, 12, 12).save("a.png")
    assert call(monkeypatch, run, "a.jpg", "a.png", "--out", "out") == 1
    reason = "its translation has 4 channels, which JPEG can't store: convert the image to TIFF or PNG"
    assert f"skipped: a.jpg: {reason}\n" in capsys.readouterr().err
    assert Image.open("out/a.png").mode == "RGBA" and files("out") == ["a.png", "translation.json"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("photos --out photos", r"^--out photos is in the input folder photos: choose a folder elsewhere$"),
        ("photos --out photos/new", r"^--out photos/new is in the input folder photos"),
        ("photos/a.png --out photos", r"^--out photos would replace the input photos/a\.png: choose another folder$"),
        ("photos other --out new", r"^photos/a\.png and other/a\.png would both be translated to new/a\.png: use a"),
        ("nothing --out new", r"^nothing does not exist: expected an image or a folder of images$"),
        ("empty --out new", r"^empty contains no image"),
        ("run.yaml --out new", r"^run\.yaml is not an image: expected a name ending in \.png"),
        ("photos --out run.yaml", r"^--out run\.yaml is a file: choose a folder$"),
    ],
)
def test_mistakes_come_before_any_work(arguments: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("photos", "other", "empty"):
        Path(folder).mkdir()
        if folder != "empty":
            tile(0, 12, 12).save(f"{folder}/a.png")
    Path("run.yaml").write_text("")
    before = {name: Path(name).read_bytes() for name in files(".")}
    with pytest.raises(UserError, match=sentence):
        call(monkeypatch, "no_run", *arguments.split())
    assert {name: Path(name).read_bytes() for name in files(".")} == before


def test_an_input_given_twice_is_translated_once(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos").mkdir()
    tile(0, 12, 12).save("photos/a.png")
    assert call(monkeypatch, run, "photos", "photos/a.png", "--out", "out") == 0
    assert capsys.readouterr().out.endswith("\nout: translated 1 of 1 images\n")


def test_exit_codes(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tile(0, 12, 12).save("a.png")
    monkeypatch.setattr(sys, "argv", ["translate.py", "nowhere", "a.png", "--out", "out"])
    with pytest.raises(SystemExit) as caught:
        run_main(translate.main)
    message = "error: nowhere is not a folder: expected the folder of a run, such as checkpoints/NAME\n"
    assert (caught.value.code, capsys.readouterr().err) == (2, message)
    assert not Path("out").exists()


def test_help_needs_no_torch() -> None:
    script = Path(translate.__file__)
    code = (
        f"import sys, runpy; sys.argv = ['translate.py', '--help']\ntry: runpy.run_path({str(script)!r}, "
        "run_name='__main__')\nexcept SystemExit: print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout.startswith("usage: ") and done.stdout.endswith("\n[]\n"), done.stderr
