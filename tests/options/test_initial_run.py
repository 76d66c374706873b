"""--init_from RUN: a new run has the network options of that run, unless they are overridden."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import train
from options import TrainOptions
from tests.conftest import SMALL, write_tiles
from util.errors import UserError

RUN = ["--netG", "resnet_6blocks", "--ngf", "2", "--ndf", "2", "--norm", "batch", "--n_layers_D", "2"]
RUN += ["--netD", "n_layers", "--init_gain", "0.1", "--crop_size", "128", "--batch_size", "3"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save("old", *RUN)
    return tmp_path


def save(name: str, *flags: str) -> None:
    options = TrainOptions()
    (folder := Path("checkpoints", name)).mkdir(parents=True)
    options.save(options.parse(["--dataroot", "photos", "--name", name, *flags]), folder, {})


def start(*flags: str) -> tuple[TrainOptions, dict[str, object]]:
    options = TrainOptions()
    return options, vars(options.parse(["--dataroot", "photos", "--init_from", *flags]))


@pytest.mark.parametrize("source", ["old", "checkpoints/old", "./checkpoints/old/"])
def test_network_options_are_copied_with_a_note(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    opt = start(source)[1]
    copied = {"netG": "resnet_6blocks", "ngf": 2, "ndf": 2, "norm": "batch", "n_layers_D": 2, "netD": "n_layers"}
    assert {name: opt[name] for name in copied} == copied
    assert (opt["init_gain"], opt["crop_size"], opt["batch_size"]) == (0.02, 256, 1)
    assert capsys.readouterr().err == (
        f"note: copied from --init_from {source}: --n_layers_D 2, --ndf 2, --netD n_layers, --netG resnet_6blocks, "
        "--ngf 2, --norm batch\n"
    )


def test_a_run_with_the_defaults_needs_no_note(capsys: pytest.CaptureFixture[str]) -> None:
    save("usual")
    start("usual")
    assert capsys.readouterr().err == ""


def test_flags_and_config_override_what_is_copied(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "c.yaml").write_text("ndf: 8\n")
    options, opt = start("old", "--ngf", "4", "--config", "c.yaml", "--norm", "batch")
    assert (opt["ngf"], opt["ndf"], opt["netG"], opt["norm"]) == (4, 8, "resnet_6blocks", "batch")
    assert options.differences == ["--ndf 8 (the run has 2)", "--ngf 4 (the run has 2)"]
    assert "--ngf" not in capsys.readouterr().err


def test_the_model_is_copied_with_what_depends_on_it() -> None:
    save("fast", "--model", "cut", "--CUT_mode", "FastCUT")
    opt = start("fast")[1]
    assert (opt["model"], opt["CUT_mode"], opt["lambda_NCE"], opt["n_epochs"]) == ("cut", "FastCUT", 10.0, 150)
    assert opt["name"] == "photos_cut"
    save("labels", "--model", "pix2pix", "--label_nc", "35")
    opt = start("labels")[1]
    assert (opt["model"], opt["dataset_mode"], opt["label_nc"], opt["input_nc"]) == ("pix2pix", "aligned", 35, 35)


def test_another_model_keeps_its_own_defaults() -> None:
    opt = start("old", "--model", "pix2pix")[1]
    assert (opt["model"], opt["netG"], opt["norm"], opt["ngf"]) == ("pix2pix", "unet_256", "batch", 2)
    save("colors", "--model", "colorization", "--ngf", "8")
    opt = start("colors", "--model", "pix2pix")[1]
    assert (opt["netG"], opt["ngf"]) == ("unet_256", 8)


def test_a_file_or_a_folder_without_options_copies_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bare").mkdir()
    (here / "bare" / "latest_net_G_A.pth").write_bytes(b"")
    for source in ("bare", "bare/latest_net_G_A.pth", "nowhere"):
        assert start(source)[1]["ngf"] == 64
    assert capsys.readouterr().err == ""


def test_a_damaged_record_is_an_error(here: Path) -> None:
    (here / "checkpoints/old/options.json").write_text("{")
    with pytest.raises(UserError, match=r"options.json"):
        start("old")


def test_an_override_that_does_not_fit_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole program: a run, and others that start from it."""
    for name in ("trainA", "trainB"):
        write_tiles(here / "tiles" / name, 1)

    def run(*flags: str) -> int:
        short = ["--n_epochs", "1", "--n_epochs_decay", "0", "--display_id", "0", "--no_html"]
        monkeypatch.setattr(sys, "argv", ["train.py", "--dataroot", "tiles", *short, *flags])
        return train.main()

    assert run("--name", "first", *SMALL) == 0
    sizes = ["--load_size", "32", "--crop_size", "32", "--num_threads", "0", "--device", "cpu"]
    assert run("--name", "second", "--init_from", "first", *sizes) == 0
    with pytest.raises(UserError) as caught:
        run("--name", "third", "--init_from", "first", "--netG", "resnet_9blocks", *sizes)
    assert str(caught.value).endswith(
        "): the networks differ by --netG resnet_9blocks (the run has resnet_6blocks): remove that, or add "
        "--init_partial to load what fits"
    )
    partial = ["--name", "third", "--init_from", "first", "--netG", "resnet_9blocks", "--init_partial"]
    assert run(*partial, *sizes) == 0
    assert run("--name", "third", "--continue_train", "--n_epochs_decay", "1") == 0
