"""Opening a run from its folder alone, and testing it by its name alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from options import TestOptions, TrainOptions, load_run_options
from util.errors import UserError

Save = Callable[..., Path]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def save() -> Save:
    """Save the options of a training run; its images do not exist. Returns its folder."""

    def save_options(*flags: str) -> Path:
        options = TrainOptions()
        opt = options.parse(["--dataroot", "photos", *flags])
        folder = Path(opt.checkpoints_dir) / opt.name
        folder.mkdir(parents=True)
        options.save(opt, folder, {})
        return folder

    return save_options


def as_tested(folder: Path, *flags: str) -> dict[str, object]:
    """The options that test.py resolves for the run."""
    flags = ("--name", folder.name, "--checkpoints_dir", str(folder.parent), *flags)
    return vars(TestOptions().parse(flags))


@pytest.mark.parametrize(
    "flags",
    [
        ["--ngf", "8", "--netG", "resnet_6blocks", "--direction", "BtoA", "--crop_size", "64", "--load_size", "80"],
        ["--model", "pix2pix_hd", "--label_nc", "35"],
        ["--model", "colorization"],
        ["--model", "cut", "--CUT_mode", "FastCUT"],
        ["--model", "dcgan", "--latent_size", "7"],
        ["--model", "template", "--dataset_mode", "template", "--coarseness", "2"],
    ],
    ids=lambda flags: flags[1],
)
def test_a_folder_gives_the_options_of_a_test(flags: list[str], save: Save) -> None:
    folder = save(*flags, "--checkpoints_dir", "runs", "--name", "mine")
    opt = load_run_options(folder)
    assert vars(opt) == as_tested(folder)
    assert (opt.name, opt.checkpoints_dir, opt.is_train) == ("mine", "runs", False)


def test_values_of_the_run_are_restored(save: Save, here: Path) -> None:
    folder = save("--ngf", "8", "--netG", "resnet_6blocks", "--norm", "batch", "--dropout", "--direction", "BtoA")
    opt = load_run_options(folder)
    assert (opt.model, opt.ngf, opt.netG) == ("cycle_gan", 8, "resnet_6blocks")
    assert (opt.norm, opt.no_dropout) == ("batch", False)
    assert (opt.direction, opt.dataroot, opt.epoch) == ("BtoA", str(here / "photos"), "latest")


def test_overrides_are_options(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save("--ngf", "8")
    opt = load_run_options(folder, epoch="5", device="cpu", batch_size=2, crop_size=256, dataroot="elsewhere")
    assert (opt.epoch, opt.device, opt.batch_size, opt.ngf, opt.dataroot) == ("5", "cpu", 2, 8, "elsewhere")
    assert capsys.readouterr().err == ""
    assert load_run_options(folder, ngf=16).ngf == 16
    assert capsys.readouterr().err == "note: --ngf 16 overrides the run's 8\n"
    opt = load_run_options(folder, model="test", model_suffix="_A")
    assert (opt.model, opt.model_suffix, opt.dataset_mode, opt.ngf) == ("test", "_A", "single", 8)


def test_overrides_are_checked(save: Save) -> None:
    folder = save()
    with pytest.raises(UserError, match=r"^options of checkpoints/photos_cycle_gan: unknown option ngff; did you mean"):
        load_run_options(folder, ngff=3)
    with pytest.raises(UserError, match=r"^options of checkpoints/photos_cycle_gan: ngf: must be at least 1, not 0$"):
        load_run_options(folder, ngf=0)
    with pytest.raises(UserError, match=r"unknown option lambda_A"):
        load_run_options(folder, lambda_A=3)


def test_a_run_may_have_moved(save: Save, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save("--ngf", "8").rename(here / "elsewhere")
    assert load_run_options(folder).checkpoints_dir == str(here)
    monkeypatch.chdir(folder)
    opt = load_run_options(Path("."))
    assert (opt.name, opt.checkpoints_dir, opt.ngf) == ("elsewhere", str(here), 8)


def test_a_run_that_does_not_record_its_images_is_opened(save: Save) -> None:
    folder = save()
    forget_images(folder)
    assert load_run_options(folder).dataroot == ""


def forget_images(folder: Path) -> None:
    path = folder / "options.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"run": {}}))
    (folder / "manifest.json").unlink()


def test_a_folder_of_weights_alone_needs_the_options_of_its_networks(here: Path) -> None:
    (here / "bare").mkdir()
    with pytest.raises(
        UserError,
        match=r"^bare has no options.json: give the options of its networks that differ from the defaults, at least "
        r"one of model, input_nc, output_nc, netG, ngf, norm, no_dropout, upsample, padding_type$",
    ):
        load_run_options(Path("bare"), epoch="5")
    opt = load_run_options(Path("bare"), netG="unet_256", norm="batch")
    assert (opt.model, opt.netG, opt.norm, opt.dataroot) == ("test", "unet_256", "batch", "")


def test_a_missing_or_damaged_folder_is_an_error(save: Save) -> None:
    with pytest.raises(UserError, match=r"^nowhere is not a folder: expected the folder of a run, such as"):
        load_run_options(Path("nowhere"))
    folder = save()
    path = folder / "options.json"
    path.write_text(path.read_text().replace('"ngf": 64', '"ngf": 32'))
    with pytest.raises(UserError, match=r"options.json does not match the checksum in manifest.json"):
        load_run_options(folder)


# test.py --name RUN


def test_a_test_without_dataroot_uses_the_images_of_the_run(save: Save, here: Path) -> None:
    save("--name", "mine")
    assert TestOptions().parse(["--name", "mine"]).dataroot == str(here / "photos")
    assert TestOptions().parse(["--name", "mine", "--dataroot", "others"]).dataroot == "others"


def test_a_test_without_dataroot_needs_a_run_that_records_it(save: Save, here: Path) -> None:
    forget_images(save("--name", "mine"))
    (here / "checkpoints" / "bare").mkdir()
    for name in ("mine", "bare"):
        with pytest.raises(UserError, match=rf"^--dataroot is required: run {name} does not record the images it was"):
            TestOptions().parse(["--name", name])


@pytest.mark.parametrize("flags", [[], ["--name", "mine", "--dataroot", ""], ["--suffix", "a"]])
def test_a_test_needs_images_or_a_run(flags: list[str], save: Save) -> None:
    save("--name", "mine")
    with pytest.raises(UserError, match=r"^--dataroot or --name is required: the folder of your images"):
        TestOptions().parse(flags)


def test_options_are_complete_when_parse_returns(save: Save) -> None:
    folder = save("--seed", "1")
    opts: list[argparse.Namespace] = [
        TrainOptions().parse(["--dataroot", "photos", "--load_iter", "20", "--init_from", "x", "--gpu_ids", "0"]),
        TestOptions().parse(["--name", folder.name]),
        load_run_options(folder),
    ]
    for opt in opts:
        assert opt.name and opt.seed is not None and opt.load_size and opt.gpu_ids is None and opt.suffix == ""
    assert (opts[0].epoch, opts[0].device) == ("iter_20", "cuda:0")
