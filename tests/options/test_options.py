"""Names and defaults of the flags, where their values come from, and what is restored from a run."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.transforms import Transform
from models import MODELS
from options import TestOptions, TrainOptions
from util.command import script_command
from util.errors import UserError
from util.stage import Stage

ROOT = Path(__file__).resolve().parents[2]

# The flags that people use already: names and defaults must not change.
BOTH: dict[str, Any] = {
    **{"checkpoints_dir": "./checkpoints", "config": None, "suffix": "", "epoch": "latest", "load_iter": 0},
    **{"device": "auto", "gpu_ids": None, "verbose": False, "display_winsize": 256},
    **{"input_nc": 3, "output_nc": 3, "ngf": 64, "ndf": 64, "netG": "resnet_9blocks", "netD": "basic"},
    **{"n_layers_D": 3, "norm": "instance", "norm_D": None, "upsample": "basic", "padding_type": "reflect"},
    **{"init_type": "normal", "init_gain": 0.02},
    **{"direction": "AtoB", "serial_batches": False, "num_threads": 4, "batch_size": 1, "crop_size": 256},
    **{
        "max_dataset_size": None,
        "preprocess": "resize_and_crop",
        "no_flip": False,
        "on_bad_image": "skip",
        "icc": "ignore",
        "fast_decode": False,
        "metrics": None,
        "inception_weights": None,
        "feature_resize": "clean",
    },
    **{"cache": "none", "cache_dir": None},
    **{"use_wandb": False, "wandb_project_name": "CycleGAN-and-pix2pix", "precision": "auto", "conv": "auto"},
    **{"deterministic": False},
}
TRAIN = BOTH | {
    **{"model": "cycle_gan", "dataset_mode": "unaligned", "no_dropout": True, "load_size": 286, "phase": "train"},
    **{"display_freq": 400, "update_html_freq": 1000, "print_freq": 100, "no_html": False, "fixed_images": 2},
    **{"use_tensorboard": False, "monitor": None},
    **{"val_freq": 5, "val_fraction": 0.0, "val_group": None, "val_images": 200, "best_metric": None, "early_stop": 0},
    **{"save_latest_freq": 5000, "save_epoch_freq": 5, "save_by_iter": False, "continue_train": False},
    **{"save_every": None, "keep_checkpoints": 2, "no_lock": False, "time_limit": None, "force": False},
    **{"init_from": None, "init_partial": False},
    **{"overwrite": False, "epoch_count": 1, "n_epochs": 100, "n_epochs_decay": 100, "beta1": 0.5, "lr": 0.0002},
    **{"accumulate": 1, "grad_checkpoint": False, "compile": False, "channels_last": False, "cuda_graph": "auto"},
    **{
        "gan_mode": "lsgan",
        "lambda_gp": 10,
        "pool_size": 50,
        "lr_policy": "linear",
        "lr_warmup": 0,
        "lr_decay_iters": 50,
    },
    **{"lr_warmup": 0, "ema_decay": 0, "lambda_A": 10, "lambda_B": 10, "lambda_identity": 0.5, "lambda_GAN": 1},
    **{"lambda_color": 0, "joint_passes": "auto"},
    **{"display_id": 1, "display_server": "http://localhost", "display_port": 8097, "display_env": "main"},
    **{"display_ncols": 4, "augment": "basic"},
}
TEST = BOTH | {
    **{"model": "test", "dataset_mode": "single", "no_dropout": False, "load_size": 256, "phase": "test", "seed": 0},
    **{"results_dir": "./results", "aspect_ratio": 1, "eval": False, "num_test": 50, "model_suffix": ""},
}

Run = Callable[..., argparse.Namespace]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without images: options are resolved before any image is read."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*flags: object) -> argparse.Namespace:
    return TrainOptions().parse(["--dataroot", "photos", *map(str, flags)])


def test(*flags: object) -> argparse.Namespace:
    return TestOptions().parse(["--dataroot", "photos", *map(str, flags)])


test.__test__ = False  # type: ignore[attr-defined]  # what test.py does, not a test


@pytest.fixture
def run() -> Run:
    """Save the options of a training run in its folder, as train.py does."""

    def save(*flags: object) -> argparse.Namespace:
        options, opt = TrainOptions(), train(*flags)
        folder = Path(opt.checkpoints_dir) / opt.name
        folder.mkdir(parents=True)
        options.save(opt, folder, {})
        return opt

    return save


def without(opt: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options by name, without these, and without the extractor, which depends on what is installed."""
    return {name: value for name, value in vars(opt).items() if name not in (*names, "extractor")}


# Names and defaults.


def test_flags_of_training_have_their_defaults() -> None:
    opt = train()
    assert without(opt, "dataroot", "name", "seed", "is_train") == TRAIN
    assert opt.name == "photos_cycle_gan" and opt.is_train is True and 0 <= opt.seed < 2**31


def test_flags_of_testing_have_their_defaults(here: Path) -> None:
    (here / "checkpoints" / "elsewhere").mkdir(parents=True)  # weights without options.json
    opt = test("--name", "elsewhere")
    assert without(opt, "dataroot", "name", "is_train") == TEST
    assert opt.is_train is False


def test_flags_of_testing_cycle_gan(run: Run) -> None:
    run()
    opt = test()
    assert (opt.model, opt.translate, opt.no_reconstruction) == ("cycle_gan", "both", False)
    opt = test("--translate", "B", "--no_reconstruction")
    assert (opt.translate, opt.no_reconstruction) == ("B", True)


def test_the_cache_is_not_restored(run: Run) -> None:
    opt = run("--cache", "disk", "--cache_dir", "fast")
    assert (opt.cache, opt.cache_dir) == ("disk", "fast")
    assert train("--continue_train").cache == test().cache == "none" and test().cache_dir is None


def test_defaults_of_the_template() -> None:
    opt = train("--model", "template", "--dataset_mode", "template")
    own = {"model": "template", "dataset_mode": "template", "lambda_near": 1, "coarseness": 4}
    cycle_gan = {"lambda_A", "lambda_B", "lambda_identity", "lambda_GAN", "lambda_color", "augment", "joint_passes"}
    expected = {name: value for name, value in TRAIN.items() if name not in cycle_gan} | own
    assert without(opt, "dataroot", "name", "seed", "is_train") == expected
    assert opt.name == "photos_template"


CYCLE_GAN_ALONE = ("lambda_A", "lambda_B", "lambda_identity", "lambda_color", "augment", "joint_passes")
# Models for pairs: other defaults, and none of CycleGAN's own options.
PAIRED = {name: value for name, value in TRAIN.items() if name not in CYCLE_GAN_ALONE} | {
    **{"dataset_mode": "aligned", "pool_size": 0, "label_nc": 0}
}


def test_defaults_of_pix2pix() -> None:
    opt = train("--model", "pix2pix")
    own = {"model": "pix2pix", "netG": "unet_256", "norm": "batch", "no_dropout": False, "gan_mode": "vanilla"}
    assert without(opt, "dataroot", "name", "seed", "is_train") == PAIRED | own | {"lambda_L1": 100, "lambda_GAN": 1}


def test_defaults_of_colorization() -> None:
    opt = train("--model", "colorization")
    own = {"model": "colorization", "netG": "unet_256", "norm": "batch", "no_dropout": False, "gan_mode": "vanilla"}
    own |= {"dataset_mode": "colorization", "input_nc": 1, "output_nc": 2, "lambda_L1": 100, "lambda_GAN": 1}
    expected = {name: value for name, value in PAIRED.items() if name != "label_nc"} | own
    assert without(opt, "dataroot", "name", "seed", "is_train") == expected


def test_defaults_of_pix2pix_hd() -> None:
    opt = train("--model", "pix2pix_hd")
    own = {"model": "pix2pix_hd", "netG": "global", "lambda_feat": 10, "lambda_vgg": 0, "num_D": 2}
    expected = {name: value for name, value in PAIRED.items() if name != "lambda_GAN"} | own | {"niter_fix_global": 0}
    assert without(opt, "dataroot", "name", "seed", "is_train") == expected


def test_class_ids_set_the_channels_and_are_restored(run: Run) -> None:
    assert run("--model", "pix2pix_hd", "--label_nc", "35").input_nc == 35
    opt = test()
    assert (opt.model, opt.dataset_mode, opt.label_nc, opt.input_nc) == ("pix2pix_hd", "aligned", 35, 35)
    with pytest.raises(UserError, match=r"^--label_nc 20: the run has 35, which can't change on resume"):
        train("--model", "pix2pix_hd", "--continue_train", "--label_nc", "20")
    with pytest.raises(UserError, match=r"^--num_D 3: the run has 2, which can't change on resume"):
        train("--model", "pix2pix_hd", "--continue_train", "--num_D", "3")


CUT = {
    **{"model": "cut", "CUT_mode": "CUT", "lambda_GAN": 1, "lambda_NCE": 1, "nce_idt": True, "nce_T": 0.07},
    **{"flip_equivariance": False, "num_patches": 256, "netF_nc": 256, "n_epochs": 200, "n_epochs_decay": 200},
    **{"init_type": "xavier", "pool_size": 0},
}
FASTCUT = CUT | {
    **{"CUT_mode": "FastCUT", "lambda_NCE": 10, "nce_idt": False, "flip_equivariance": True},
    **{"n_epochs": 150, "n_epochs_decay": 50},
}


@pytest.mark.parametrize("own", [CUT, FASTCUT])
def test_defaults_of_cut(own: dict[str, Any]) -> None:
    cycle_gan = CYCLE_GAN_ALONE
    expected = {name: value for name, value in TRAIN.items() if name not in cycle_gan} | own
    opt = train("--model", "cut", "--CUT_mode", own["CUT_mode"])
    assert without(opt, "dataroot", "name", "seed", "is_train") == expected


def test_given_values_override_dependent_defaults(run: Run, here: Path) -> None:
    (here / "c.yaml").write_text("model: cut\nCUT_mode: FastCUT\nn_epochs: 7\nnce_idt: true\n")
    opt = train("--config", "c.yaml", "--lambda_NCE", "3", "--flip_equivariance", "False")
    assert (opt.n_epochs, opt.n_epochs_decay, opt.lambda_NCE) == (7, 50, 3)
    assert opt.nce_idt is True and opt.flip_equivariance is False
    run("--name", "mine", "--config", "c.yaml", "--flip_equivariance", "false")
    again = train("--name", "mine", "--continue_train", "--lambda_NCE", "5")
    assert (again.n_epochs, again.n_epochs_decay, again.lambda_NCE) == (7, 50, 5)
    assert again.nce_idt is True and again.flip_equivariance is False
    assert train("--model", "cut", "--nce_idt").nce_idt is True
    assert test("--name", "mine").model == "cut"
    with pytest.raises(UserError, match=r"^--netF_nc 8: the run has 256, which can't change on resume"):
        train("--name", "mine", "--continue_train", "--netF_nc", "8")


def test_a_given_mode_overrides_the_dependent_defaults_of_another_mode(run: Run, here: Path) -> None:
    run("--model", "cut", "--n_epochs", "20")
    config = "checkpoints/photos_cut/options.json"
    opt = train("--config", config, "--name", "fast", "--CUT_mode", "FastCUT", "--lambda_NCE", "3")
    assert (opt.CUT_mode, opt.nce_idt, opt.flip_equivariance) == ("FastCUT", False, True)
    assert (opt.lambda_NCE, opt.n_epochs, opt.n_epochs_decay) == (3, 150, 50)
    opt = train("--config", config, "--name", "same", "--CUT_mode", "CUT")
    assert (opt.n_epochs, opt.n_epochs_decay, opt.nce_idt) == (20, 200, True)
    (here / "c.yaml").write_text("n_epochs_decay: 9\n")
    opt = train("--config", "c.yaml", "--model", "cut")
    assert (opt.n_epochs, opt.n_epochs_decay) == (200, 9)
    with pytest.raises(UserError, match=r"^--CUT_mode FastCUT: the run has CUT, which can't change on resume: start"):
        train("--model", "cut", "--continue_train", "--CUT_mode", "FastCUT")


def test_dcgan_withdraws_options_of_other_networks(run: Run) -> None:
    opt = run("--model", "dcgan", "--latent_size", "7", "--crop_size", "32")
    withdrawn = {"netG", "netD", "n_layers_D", "no_dropout", "output_nc", "direction"}
    assert not withdrawn & vars(opt).keys()
    shown = (opt.norm, opt.gan_mode, opt.pool_size, opt.batch_size, opt.dataset_mode, opt.augment)
    assert shown == ("batch", "vanilla", 0, 128, "single", "basic")
    tested = test()
    assert (tested.crop_size, tested.load_size) == (32, 32)
    assert (tested.model, tested.dataset_mode, tested.latent_size, tested.crop_size) == ("dcgan", "latent", 7, 32)
    assert not withdrawn & vars(tested).keys()
    with pytest.raises(UserError, match=r"^--latent_size 8: the run has 7, which can't change on resume"):
        train("--continue_train", "--name", opt.name, "--latent_size", "8")


@pytest.mark.parametrize(("crop", "load"), [(32, 36), (64, 72), (128, 144), (256, 288)])
def test_load_size_of_dcgan_follows_from_crop_size(crop: int, load: int, run: Run) -> None:
    assert run("--model", "dcgan", "--crop_size", crop).load_size == load
    assert train("--continue_train", "--model", "dcgan").load_size == load
    assert train("--model", "dcgan", "--crop_size", crop, "--load_size", 300).load_size == 300
    assert train("--model", "dcgan").load_size == 72


@pytest.mark.parametrize("name", [name for name in TRAIN if isinstance(TRAIN[name], bool)])
def test_switches_switch(name: str) -> None:
    if name == "no_dropout":
        assert train("--no_dropout").no_dropout is True and train("--dropout").no_dropout is False
    elif name == "init_partial":
        assert train("--init_partial", "--init_from", "other").init_partial is True
    elif name not in ("continue_train", "overwrite", "force"):
        assert getattr(train(f"--{name}"), name) is True


CHOICES = {
    "netD": ["basic", "n_layers", "pixel"],
    "netG": ["resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128", "global", "local"],
    "norm": ["instance", "batch", "none", "syncbatch"],
    "init_type": ["normal", "xavier", "kaiming", "orthogonal"],
    "direction": ["AtoB", "BtoA"],
    "preprocess": ["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"],
    "gan_mode": ["lsgan", "vanilla", "wgangp"],
    "lr_policy": ["linear", "step", "plateau", "cosine"],
    "device": ["auto", "cpu", "cuda", "cuda:1", "mps"],
    "on_bad_image": ["skip", "error"],
    "icc": ["ignore", "srgb"],
    "augment": ["none", "basic", "diffaug"],
    "cache": ["none", "ram", "disk"],
}


@pytest.mark.parametrize(("name", "choice"), [(name, choice) for name, all_ in CHOICES.items() for choice in all_])
def test_choices_are_accepted(name: str, choice: str) -> None:
    assert getattr(train(f"--{name}", choice), name) == choice


# Where values come from.


def test_flags_override_config_overrides_run_overrides_model_overrides_defaults(run: Run, here: Path) -> None:
    run("--ngf", "8", "--crop_size", "64", "--load_size", "64", "--direction", "BtoA", "--netG", "resnet_6blocks")
    (here / "c.yaml").write_text("crop_size: 32\nnetG: unet_128\n")
    opt = test("--config", "c.yaml", "--netG", "resnet_9blocks")
    assert opt.netG == "resnet_9blocks"  # the flag
    assert opt.crop_size == opt.load_size == 32  # the config
    assert opt.ngf == 8 and opt.direction == "BtoA"  # the run
    assert opt.no_dropout is True  # the model
    assert opt.norm == "instance"  # the default


def test_a_config_overrides_the_models_default(here: Path) -> None:
    (here / "c.yaml").write_text("no_dropout: false\nlambda_A: 3\n")
    assert train("--config", "c.yaml").no_dropout is False
    opt = train("--config", "c.yaml", "--no_dropout", "--lambda_A", "4")
    assert opt.no_dropout is True and opt.lambda_A == 4


# Files of options.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "n_epochs: 7\nlr: 2e-4\nnorm: none\nno_flip: true\nmodel: cycle_gan\nlambda_B: 2.5\n"),
        ("c.yml", "--n_epochs: 7\n--lr: '0.0002'\nnorm: none\nno_flip: yes\nlambda_B: 2.5\n"),
        ("c.json", '{"n_epochs": 7, "lr": 0.0002, "norm": "none", "no_flip": true, "lambda_B": 2.5}'),
    ],
)
def test_options_come_from_a_file(here: Path, name: str, text: str) -> None:
    (here / name).write_text(text)
    opt = train("--config", name)
    assert (opt.n_epochs, opt.lr, opt.norm, opt.no_flip, opt.lambda_B) == (7, 0.0002, "none", True, 2.5)
    assert isinstance(opt.n_epochs, int)


def test_an_empty_config_changes_nothing(here: Path) -> None:
    (here / "c.yaml").write_text("# nothing yet\n")
    assert without(train("--config", "c.yaml", "--seed", 1), "config") == without(train("--seed", 1), "config")


def test_a_config_may_choose_the_model_and_set_its_options(here: Path) -> None:
    (here / "c.yaml").write_text("model: template\ndataset_mode: template\nlambda_near: 3\ncoarseness: 2\n")
    opt = train("--config", "c.yaml")
    assert (opt.model, opt.lambda_near, opt.coarseness) == ("template", 3, 2)


def test_a_config_may_serve_training_and_testing(run: Run, here: Path) -> None:
    run("--name", "mine", "--ngf", "8")
    (here / "c.yaml").write_text("name: mine\nlambda_A: 5\nn_epochs: 3\nlr_policy: step\nnum_test: 4\n")
    opt = test("--config", "c.yaml")
    assert (opt.name, opt.num_test, opt.ngf) == ("mine", 4, 8)
    assert not hasattr(opt, "lambda_A")


def test_a_config_may_have_options_of_one_call(run: Run, here: Path) -> None:
    run("--n_epochs", "7")
    (here / "c.yaml").write_text("continue_train: true\n")
    opt = train("--config", "c.yaml")
    assert opt.continue_train is True and opt.n_epochs == 7


def test_the_options_of_a_run_repeat_it(run: Run) -> None:
    first = run("--name", "first", "--suffix", "{netG}", "--gpu_ids", "-1", "--ngf", "8", "--max_dataset_size", "5")
    assert first.name == "first_resnet_9blocks"
    again = train("--config", f"checkpoints/{first.name}/options.json")
    assert without(again, "config") == without(first, "config")
    assert train("--config", f"checkpoints/{first.name}/options.json", "--name", "second").name == "second"


# Options on disk.


def test_options_are_restored_from_options_json(run: Run, here: Path) -> None:
    opt = run("--lr", "0.001", "--norm", "batch", "--dropout", "--max_dataset_size", "3")
    record = json.loads((here / "checkpoints" / "photos_cycle_gan" / "options.json").read_text())
    assert record["options"].pop("extractor") == opt.extractor != "auto"
    assert record["options"] == without(opt, "is_train", "config", "continue_train", "overwrite", "force", "time_limit")
    assert record["run"]["dataroot"] == str(here / "photos")
    again = train("--continue_train")
    assert without(again, "continue_train") == without(opt, "continue_train")


def test_options_txt_shows_changed_defaults(run: Run, here: Path) -> None:
    run("--lr", "0.001", "--netG", "resnet_6blocks")
    lines = (here / "checkpoints" / "photos_cycle_gan" / "options.txt").read_text().splitlines()
    assert "                  lr: 0.001   [default: 0.0002]" in lines
    assert "                 ngf: 64" in lines
    assert [line.split(":")[0].strip() for line in lines] == sorted(line.split(":")[0].strip() for line in lines)


# Resuming a run.


def test_resuming_restores_everything_except_the_machine(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    first = run("--n_epochs", "3", "--lambda_A", "5", "--seed", "7", "--num_threads", "2", "--device", "cpu")
    opt = train("--continue_train", "--n_epochs", "9")
    assert (opt.n_epochs, opt.lambda_A, opt.seed) == (9, 5, 7)
    assert (opt.num_threads, opt.device) == (4, "auto")
    assert (first.num_threads, first.device) == (2, "cpu")
    assert capsys.readouterr().err == (
        "note: --n_epochs 9 overrides the run's 3 from here on: learning rates follow the new schedule\n"
    )


def test_a_run_keeps_its_precision(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("--precision", "fp32", "--deterministic")
    opt = train("--continue_train")
    assert (opt.precision, opt.deterministic) == ("fp32", True) and capsys.readouterr().err == ""
    assert train("--continue_train", "--precision", "tf32_conv").precision == "tf32_conv"
    assert "note: --precision tf32_conv overrides the run's fp32 from here on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [["--netD", "pixel"], ["--ngf", "8"], ["--norm_D", "none"], ["--dropout"], ["--upsample", "bilinear"]]
)
def test_resuming_with_other_networks_is_refused(flags: list[str], run: Run) -> None:
    run()
    for force in ([], ["--force"]):
        option = flags[0].replace("dropout", "no_dropout")
        with pytest.raises(UserError, match=rf"^{option} .*: the run has .* can't change on resume"):
            train("--continue_train", *flags, *force)


def test_resuming_with_other_images_needs_force(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    with pytest.raises(
        UserError, match=r"^--direction BtoA: the run has AtoB; add --force to resume it with other images$"
    ):
        train("--continue_train", "--direction", "BtoA")
    train("--continue_train", "--direction", "BtoA", "--force")
    assert (
        "overrides the run's AtoB from here on: an uninterrupted run would give other results"
        in capsys.readouterr().err
    )


def test_resuming_reports_the_effect_of_a_change(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    train("--continue_train", "--print_freq", "7", "--save_every", "3")
    assert capsys.readouterr().err == (
        "note: --print_freq 7 overrides the run's 100\nnote: --save_every 3.0 overrides the run's None\n"
    )
    assert train("--continue_train", "--lambda_A", "5").lambda_A == 5
    assert capsys.readouterr().err == (
        "note: --lambda_A 5.0 overrides the run's 10.0 from here on: an uninterrupted run would give other results\n"
    )


def test_resuming_accepts_flags_of_the_runs_model(run: Run, here: Path) -> None:
    run("--name", "mine", "--model", "template", "--lambda_near", "3")
    opt = train("--name", "mine", "--continue_train", "--lambda_near", "5")
    assert (opt.model, opt.lambda_near) == ("template", 5)
    (here / "c.yaml").write_text("name: mine\ncontinue_train: true\nlambda_near: 7\n")
    assert train("--config", "c.yaml").lambda_near == 7


def test_resuming_finds_a_run_with_a_suffix(run: Run) -> None:
    opt = run("--suffix", "v{ngf}")
    assert opt.name == "photos_cycle_gan_v64"
    again = train("--suffix", "v{ngf}", "--continue_train")
    assert again.name == opt.name
    assert again.suffix == opt.suffix == ""  # it is in the name now


def test_a_given_size_is_checked_against_the_restored_size(run: Run) -> None:
    run("--load_size", "64", "--crop_size", "64")
    assert train("--continue_train", "--load_size", "72").load_size == 72
    opt = test("--load_size", "64")
    assert (opt.load_size, opt.crop_size) == (64, 64)


def test_an_equal_value_is_not_reported(run: Run, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--lr", "0.001")
    (here / "c.yaml").write_text("lr: 1e-3\n")
    train("--continue_train", "--config", "c.yaml", "--ngf", "64")
    assert capsys.readouterr().err == ""


# Testing a run.


def test_testing_restores_the_networks(run: Run) -> None:
    flags = ["--netG", "resnet_6blocks", "--norm", "batch", "--ngf", "8", "--dropout", "--input_nc", "1"]
    flags += ["--output_nc", "1", "--direction", "BtoA", "--preprocess", "scale_width", "--crop_size", "64"]
    trained = run(*flags, "--batch_size", "4", "--num_threads", "1", "--phase", "learn", "--no_flip")
    opt = test()
    for name in ("model", "dataset_mode", "netG", "norm", "ngf", "no_dropout", "input_nc", "output_nc"):
        assert getattr(opt, name) == getattr(trained, name), name
    assert (opt.direction, opt.preprocess, opt.crop_size, opt.load_size) == ("BtoA", "scale_width", 64, 64)
    assert (opt.batch_size, opt.num_threads, opt.phase, opt.no_flip) == (1, 4, "test", False)
    assert opt.name == "photos_cycle_gan"


def test_testing_accepts_flags_of_the_runs_model_and_dataset(run: Run) -> None:
    run("--model", "template", "--dataset_mode", "template")
    assert test("--coarseness", "2").coarseness == 2
    with pytest.raises(UserError, match="--model_suffix is an option of --model test, not of "):
        test("--model_suffix", "_A")


def test_a_flag_overrides_the_run_in_testing_with_a_note(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("--ngf", "8")
    opt = test("--ngf", "16", "--crop_size", "256", "--no_dropout")
    assert opt.ngf == 16
    assert capsys.readouterr().err == "note: --ngf 16 overrides the run's 8\n"  # the others have the run's values


def test_another_model_in_testing_brings_its_own_dataset(run: Run) -> None:
    run("--ngf", "8", "--input_nc", "1", "--lambda_identity", "0")
    opt = test("--name", "photos_cycle_gan", "--model", "test", "--model_suffix", "_A")
    assert (opt.model, opt.dataset_mode, opt.ngf, opt.no_dropout) == ("test", "single", 8, True)
    assert (opt.input_nc, opt.output_nc) == (1, 3)
    back = test("--name", "photos_cycle_gan", "--model", "test", "--model_suffix", "_B")
    assert (back.input_nc, back.output_nc) == (3, 1)


def test_the_only_run_of_a_dataroot_is_found_from_any_working_folder(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--name", "mine")
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    opt = TestOptions().parse(["--dataroot", "../photos", "--checkpoints_dir", "../checkpoints"])
    assert opt.name == "mine"


def test_several_runs_of_a_dataroot_are_listed(run: Run) -> None:
    run("--name", "one")
    run("--name", "two")
    with pytest.raises(
        UserError, match=r"^several runs were trained on --dataroot photos: choose one with --name: one, two$"
    ):
        test()
    assert test("--name", "two").name == "two"


def test_among_several_runs_of_a_dataroot_the_default_name_is_tested(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--name", "one")
    run()
    assert test().name == "photos_cycle_gan"
    assert (
        "note: testing --name photos_cycle_gan; runs trained on photos: one, photos_cycle_gan"
        in capsys.readouterr().err
    )


def test_a_users_test_only_model_is_tested(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine_only.py").write_text(
        "from models.test_model import TestModel\nclass Mine(TestModel):\n    trainable = False\n"
    )
    (here / "checkpoints" / "elsewhere").mkdir(parents=True)
    monkeypatch.syspath_prepend(here)
    assert test("--name", "elsewhere", "--model", "mine_only:Mine").dataset_mode == "single"


# Options that depend on others.


def test_names_of_runs() -> None:
    assert train("--dataroot", "a/b/horses/").name == "horses_cycle_gan"
    assert train("--name", "mine", "--suffix", "{netG}_{load_size}").name == "mine_resnet_9blocks_286"
    assert train("--name", "mine", "--suffix", "new").name == "mine_new"


def test_gpu_ids_set_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--gpu_ids", "-1").device == "cpu"
    assert train("--gpu_ids", "0").device == "cuda:0"
    assert capsys.readouterr().err == ""
    assert train("--gpu_ids", "2,3").device == "cuda:2"
    script = shlex.split(script_command("train.py", []))[1]
    assert capsys.readouterr().err == (
        "note: only GPU 2 is used; to use all: CUDA_VISIBLE_DEVICES=2,3 torchrun --nproc_per_node=2 "
        f"{script} --dataroot photos\n"
    )


def test_load_iter_sets_the_epoch() -> None:
    assert train("--load_iter", "2000", "--init_from", "other").epoch == "iter_2000"
    assert train().epoch == "latest"


def test_each_run_draws_a_seed() -> None:
    assert len({train().seed for _ in range(4)}) == 4
    assert train("--seed", "5").seed == 5


@pytest.mark.parametrize(("size", "shown"), [([], (512, 512)), (["--load_size", "2048"], (1024, 2048))])
def test_whole_images_after_training_on_crops_of_wide_ones(size: list[str], shown: tuple[int, int], run: Run) -> None:
    """The example of docs/pairs.md: images of 2048x1024."""
    flags = ["--netG", "local", "--preprocess", "scale_width_and_crop", "--load_size", "2048", "--crop_size", "512"]
    run("--model", "pix2pix_hd", "--label_nc", "35", *flags)
    opt = test(*(["--preprocess", "scale_width", *size] if size else []))
    assert Transform(opt, Stage.TEST).target_size(1024, 2048) == shown


# Help.


def call(program: str, *flags: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a program; the last line on stderr names the slow packages that it imported. Also its processor time, in s.

    The wall clock depends on other programs.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = f"import sys, runpy; sys.argv[1:] = {list(flags)!r}; sys.path.insert(0, {str(ROOT)!r})\n"
    code += f"try: runpy.run_path({str(ROOT / program)!r}, run_name='__main__')\n"
    code += "finally: print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules], file=sys.stderr)"
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


OWN_OPTIONS = {
    **{"cut": "--nce_T", "cycle_gan": "--lambda_A", "dcgan": "--latent_size", "pix2pix_hd": "--num_D"},
    **{"colorization": "--lambda_L1", "pix2pix": "--label_nc"},
}


@pytest.mark.parametrize(
    ("program", "flags", "shown"),
    [
        ("train.py", [], "--lambda_A"),
        ("test.py", [], "--translate"),
        ("test.py", ["--model", "test"], "--model_suffix"),
        *(("train.py", ["--model", model], own) for model, own in OWN_OPTIONS.items()),
    ],
)
def test_help_is_quick_and_needs_no_torch(program: str, flags: list[str], shown: str) -> None:
    done, seconds = call(program, *flags, "--help")
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    assert "--dataroot" in done.stdout and shown in done.stdout
    assert seconds < 0.5


@pytest.mark.parametrize(
    ("program", "flags", "message"),
    [
        ("train.py", [], "error: --dataroot is required: "),
        ("train.py", ["--dataroot", "photos", "--lambda_L1", "3"], "error: --lambda_L1 is an option of --model color"),
        ("train.py", ["--dataroot", "photos", "--crop_size", "30"], "error: --crop_size 30 does not fit --netG "),
        ("test.py", ["--name", "nothing"], "error: --name nothing: --checkpoints_dir checkpoints has no such run: "),
    ],
)
def test_option_errors_are_quick_and_need_no_torch(program: str, flags: list[str], message: str) -> None:
    done, seconds = call(program, *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(message) and done.stderr.endswith("\n[]\n")
    assert seconds < 0.5


@pytest.mark.parametrize("options", [TrainOptions(), TestOptions()])
def test_help_ends_with_examples_that_are_valid(options: TrainOptions | TestOptions, run: Run, here: Path) -> None:
    run("--dataroot", "horse2zebra")
    text = options._parser_for("cycle_gan", None).format_help()
    assert text.index("examples:") > text.index("--lambda_A" if options.is_train else "--translate")
    program = "train.py" if options.is_train else "test.py"
    commands = [shlex.split(line) for line in text.splitlines() if line.strip().startswith("python ")]
    assert len(commands) == 3
    for command in commands:
        assert command[:2] == ["python", program]
        assert options.parse(command[2:]).dataroot


def test_help_of_a_test_names_the_run_as_the_source_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = TestOptions()._parser_for("cycle_gan", None).format_help()
    assert "filters in the generator's first layer (default: the run's, or 64)" in text
    assert "images to translate (default: 50)" in text


def test_help_offers_no_template() -> None:
    for options in (TrainOptions(), TestOptions()):
        assert "template" not in options._parser_for("cycle_gan", None).format_help()
    assert train("--model", "template", "--dataset_mode", "template").model == "template"


def test_help_shows_the_options_of_the_chosen_model() -> None:
    def help_of(*flags: str) -> str:
        return call("train.py", *flags, "--help")[0].stdout

    shown = help_of("--model", "template")
    assert "--lambda_near" in shown and "--lambda_A" not in shown
    assert "weight of the cycle A -> B -> A; 0: none (default: 10.0)" in help_of()
    # The help names the folders of a dataset with that dataset, as the model may read another one.
    for line in help_of("--model", "dcgan").splitlines():
        assert "trainA" not in line or "--dataset_mode unaligned reads trainA" in line, line


@pytest.mark.parametrize("name", MODELS.names())
def test_every_option_has_a_help_text(name: str) -> None:
    options = TrainOptions() if MODELS.find(name).trainable else TestOptions()
    for action in options._parser_for(name, None).options().values():
        assert action.help, action.dest


# Damaged or crafted files.


@pytest.mark.parametrize(
    "content",
    ['{"options": {"model": 5}, "run": {}}', "[" * 100_000, '{"options": {"model": "cycle_gan"}, "run": 3}', "[]"],
    ids=["model", "deep", "run", "list"],
)
def test_a_damaged_options_file_is_named(content: str, here: Path) -> None:
    (here / "checkpoints" / "odd").mkdir(parents=True)
    (here / "checkpoints" / "odd" / "options.json").write_text(content)
    with pytest.raises(UserError, match=r"odd/options\.json can't be read: restore it"):
        test("--name", "odd")


@pytest.mark.parametrize("run", ['"versions": "x"', '"versions": {}, "dataset": []', '"dataset": {"trainA": {}}'])
def test_damaged_records_in_a_config_are_ignored(run: str, here: Path) -> None:
    (here / "odd.json").write_text('{"options": {"lambda_A": 5}, "run": {' + run + "}}")
    options = TrainOptions()
    opt = options.parse(["--dataroot", "photos", "--config", "odd.json"])
    assert opt.lambda_A == 5
    options.print_notes(opt, {"trainA": {"files": 1, "bytes": 2, "sha256": ""}})


def test_a_run_options_file_changed_by_hand_is_refused(run: Run, here: Path) -> None:
    run()
    path = here / "checkpoints" / "photos_cycle_gan" / "options.json"
    path.write_text(path.read_text().replace('"lr": 0.0002', '"lr": 0.0003'))
    with pytest.raises(
        UserError, match=r"options\.json does not match the checksum in manifest.json: restore it; if you changed it on"
    ):
        train("--config", path, "--name", "again")


def test_a_resumed_run_keeps_how_it_started(run: Run, here: Path) -> None:
    run("--init_from", "other", "--epoch", "3")
    options = TrainOptions()
    opt = options.parse(["--dataroot", "photos", "--continue_train", "--lambda_A", "5"])
    options.save(opt, here / "checkpoints" / "photos_cycle_gan", {})
    record = json.loads((here / "checkpoints" / "photos_cycle_gan" / "options.json").read_text())
    kept = {name: record["options"][name] for name in ("init_from", "epoch", "lambda_A")}
    assert kept == {"init_from": "other", "epoch": "3", "lambda_A": 5}
    assert len(record["run"]["continued"]) == 1 and "torch" in record["run"]["continued"][0]["versions"]
