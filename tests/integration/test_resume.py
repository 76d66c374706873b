"""A run that is stopped after any step and continued ends bit for bit as one that was not stopped."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import train
from tests.conftest import fitting, write_tiles
from tests.faults.lab import compare
from util.runtime.determinism import select_algorithms
from util.runtime.stop_signal import StopSignal

# Six images, three epochs: 18 steps; or 9 with two images a step.
COMMON = [
    *("--netG", "resnet_6blocks", "--ngf", "2", "--ndf", "2", "--netD", "n_layers", "--n_layers_D", "2"),
    *("--load_size", "20", "--crop_size", "16", "--n_epochs", "2", "--n_epochs_decay", "1", "--pool_size", "3"),
    *("--seed", "3", "--num_threads", "0", "--display_id", "0", "--print_freq", "1"),
    *("--update_html_freq", "2", "--save_epoch_freq", "1"),
]
KINDS = {
    "lsgan, linear": [],
    "vanilla, step, batch norm, dropout": [
        *("--gan_mode", "vanilla", "--lr_policy", "step", "--lr_decay_iters", "1", "--norm", "batch", "--dropout"),
    ],
    "wgangp, plateau, average": ["--gan_mode", "wgangp", "--lr_policy", "plateau", "--ema_decay", "0.9"],
    "cosine, no pool, workers": ["--lr_policy", "cosine", "--pool_size", "0", "--num_threads", "2"],
    "two images a step": ["--batch_size", "2"],
    "bf16": ["--precision", "bf16"],
    "fp16": ["--precision", "fp16"],
    "cut": ["--model", "cut", "--num_patches", "8", "--netF_nc", "4", "--ema_decay", "0.9"],
    "fastcut, plateau": [
        *("--model", "cut", "--CUT_mode", "FastCUT", "--num_patches", "8", "--netF_nc", "4", "--lr_policy", "plateau"),
        *("--batch_size", "2"),
    ],
    "template": ["--model", "template", "--dataset_mode", "template"],
    "colorization": ["--model", "colorization", "--netG", "resnet_6blocks", "--phase", "trainA"],
    "dcgan, pool, diffaug": [
        *("--model", "dcgan", "--load_size", "36", "--crop_size", "32", "--batch_size", "1", "--augment", "diffaug"),
    ],
    "cycle_gan, diffaug": ["--augment", "diffaug"],
    "pix2pix, pool, plateau": ["--model", "pix2pix", "--netG", "resnet_6blocks", "--lr_policy", "plateau"],
    "pix2pix_hd": ["--model", "pix2pix_hd", "--num_D", "1", "--netG", "resnet_6blocks"],
}


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Six images in each domain, one of them damaged."""
    for name in ("trainA", "trainB"):
        write_tiles(tmp_path / "tiles" / name, 6, width=24, height=20)
    bad = tmp_path / "tiles" / "trainA" / "03.png"
    bad.write_bytes(bad.read_bytes()[:100])
    return tmp_path / "tiles"


Check = Callable[..., None]


@pytest.fixture
def check(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Compares runs that are stopped and resumed with one that is not."""

    def run(name: str, *flags: str, stop_after: int | None = None) -> int:
        asked = 0

        def requested(self: StopSignal) -> bool:
            nonlocal asked
            asked += 1
            return asked == stop_after

        where = ["--checkpoints_dir", str(tmp_path / "runs"), "--name", name]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["train.py", *where, *flags])
            patch.setattr(StopSignal, "requested", property(requested))
            return train.main()

    def check(kind: str, *extra: str, device: str = "cpu") -> None:
        dataroot = tiles / "trainA" if kind.startswith(("template", "dcgan")) else tiles
        where = ["--dataroot", str(dataroot), "--device", device]
        assert run("whole", *where, *fitting(COMMON, KINDS[kind]), *extra) == 0
        per_epoch = 3 if ("--batch_size", "2") in itertools.pairwise(KINDS[kind]) else 6
        # Stopped in the middle of an epoch, at its end, at the beginning of the next one, in its middle, at its end.
        run("stopped", *where, *fitting(COMMON, KINDS[kind]), *extra, stop_after=2)
        workers = ["--num_threads", "1" if "workers" in kind else "0"]
        for stop in (per_epoch - 2, 1, 1, per_epoch - 2, None):
            run("stopped", *where, "--continue_train", *workers, stop_after=stop)
        assert compare(tmp_path / "runs" / "whole", tmp_path / "runs" / "stopped") == []

    return check


@pytest.mark.parametrize("kind", KINDS)
def test_stopping_changes_nothing(kind: str, check: Check) -> None:
    check(kind)


@pytest.fixture
def usual_algorithms() -> Iterator[None]:
    """Select the usual algorithms again after the test."""
    yield
    select_algorithms(deterministic=False, fixed_sizes=False)


def test_stopping_a_deterministic_run_changes_nothing(check: Check, usual_algorithms: None) -> None:
    check("bf16", "--deterministic")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_stopping_a_deterministic_run_on_a_gpu_changes_nothing(kind: str, check: Check, usual_algorithms: None) -> None:
    check(kind, "--deterministic", device="cuda")
