"""Whole commands on a GPU: train, resume, validate, test, translate and export; and what is trained there, on a CPU."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import test as test_program
import train
from inference import load_generator
from scripts import export
from tests.conftest import fitting, write_tiles
from util.runtime.stop_signal import StopSignal

# Without a GPU, these tests compare a CPU with itself: that checks the tests.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.gpu if torch.cuda.is_available() else pytest.mark.slow
SMALL = [
    *("--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--netD", "n_layers", "--n_layers_D", "2"),
    *("--load_size", "36", "--crop_size", "32", "--n_epochs", "2", "--n_epochs_decay", "0", "--init_gain", "0.2"),
    *("--seed", "3", "--num_threads", "2", "--display_id", "0", "--print_freq", "1", "--update_html_freq", "2"),
]
MODELS = {
    "cycle_gan": ["--model", "cycle_gan"],
    "cycle_gan in bf16": ["--model", "cycle_gan", "--precision", "bf16", "--ema_decay", "0.9"],
    "cut": ["--model", "cut", "--num_patches", "16"],
    "pix2pix": ["--model", "pix2pix"],
    "pix2pix_hd": ["--model", "pix2pix_hd"],
    "colorization": ["--model", "colorization", "--phase", "trainA"],
    "dcgan": ["--model", "dcgan", "--batch_size", "2"],
    "template": ["--model", "template", "--dataset_mode", "template"],
}
Run = Callable[..., int]


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    root = tmp_path / "tiles"
    for name in ("trainA", "trainB", "valA", "valB", "testA", "testB"):
        write_tiles(root / name, 4)
    for name in ("train", "test"):  # pairs
        write_tiles(root / name, 4, width=80)
    return root


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run train.py or test.py in this process; `stop_after`: training is asked to stop after so many steps."""

    def start(main: Callable[[], int], name: str, *flags: object, stop_after: int | None = None) -> int:
        asked = 0

        def requested(self: StopSignal) -> bool:
            nonlocal asked
            asked += 1
            return asked == stop_after

        where = ["--checkpoints_dir", str(tmp_path / "runs"), "--name", name]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["program.py", *where, *map(str, flags)])
            patch.setattr(StopSignal, "requested", property(requested))
            return main()

    return start


def records(folder: Path, name: str = "losses.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def training(tiles: Path, *flags: object) -> list[str]:
    """The command line of a training on the GPU."""
    return fitting(["--dataroot", tiles, "--device", DEVICE, *SMALL], flags)


@pytest.fixture
def trained(run: Run, tiles: Path, tmp_path: Path) -> Path:
    """The folder of a CycleGAN that was trained on the GPU."""
    assert run(train.main, "trained", *training(tiles)) == 0
    return tmp_path / "runs" / "trained"


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_trained_and_tested(model: str, run: Run, tiles: Path, tmp_path: Path) -> None:
    dataroot = tiles / "trainA" if model in ("template", "dcgan") else tiles
    assert run(train.main, "run", *training(dataroot, *MODELS[model])) == 0
    log = records(tmp_path / "runs" / "run")
    assert len(log) == (4 if model == "dcgan" else 8)
    assert all(math.isfinite(value) for record in log for value in record.values() if isinstance(value, float))
    phase = ["--phase", "testA"] if model == "colorization" else []
    flags = ["--dataroot", dataroot, "--results_dir", tmp_path / "results", "--num_threads", 2, "--device", DEVICE]
    assert run(test_program.main, "run", *flags, *phase, "--num_test", 2) == 0
    pictures = [*(tmp_path / "results").rglob("*_fake*.png")]
    assert len(pictures) >= 2 and all(np.asarray(Image.open(path)).std() > 1 for path in pictures)


def test_a_run_is_resumed_on_a_gpu_and_on_a_cpu(run: Run, tiles: Path, tmp_path: Path) -> None:
    run(train.main, "run", *training(tiles, "--dropout"), stop_after=3)
    run(train.main, "run", "--dataroot", tiles, "--continue_train", "--device", DEVICE, stop_after=2)
    assert run(train.main, "run", "--dataroot", tiles, "--continue_train", "--device", "cpu") == 0
    log = records(tmp_path / "runs" / "run")
    assert [record["step"] for record in log] == [*range(1, 9)]
    assert all(math.isfinite(record["G_A"]) for record in log)


def test_test_py_gives_the_images_of_a_cpu(trained: Path, run: Run, tiles: Path, tmp_path: Path) -> None:
    images = []
    for device in (DEVICE, "cpu"):
        flags = ["--dataroot", tiles, "--results_dir", tmp_path / device, "--num_threads", 0, "--precision", "fp32"]
        assert run(test_program.main, "trained", *flags, "--device", device) == 0
        found = sorted((tmp_path / device).rglob("*_fake_B.png"))
        images.append(np.stack([np.asarray(Image.open(path), dtype=int) for path in found]))
    assert len(images[0]) == 4 and images[0].std() > 10
    assert np.abs(images[0] - images[1]).max() <= 1


def test_load_generator(trained: Path, tiles: Path) -> None:
    path = tiles / "testA" / "00.png"
    expected = np.asarray(load_generator(trained, device="cpu", precision="fp32")(path), dtype=int)
    for precision, levels in {"fp32": 1, "auto": 8, "fp16": 8, "bf16": 40}.items():
        translate = load_generator(trained, device=DEVICE, precision=precision)
        difference = np.abs(np.asarray(translate(path), dtype=int) - expected)
        assert difference.max() <= levels and difference.mean() <= levels / 8 + 0.1, precision
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    for device in (DEVICE, "cpu"):  # a translation is where its source is
        translation = translate(x.to(device))
        assert translation.device.type == device and translation.shape == x.shape and translation.isfinite().all()


def test_export_of_a_run_from_a_gpu(trained: Path, tmp_path: Path) -> None:
    arguments = [str(trained), "--format", "torch", "--direction", "AtoB", "--out", str(tmp_path / "exported")]
    folder = export.export(export.parse_arguments(arguments))
    assert any(folder.iterdir()) and json.loads((folder / "config.json").read_text())["directions"].keys() == {"AtoB"}


def test_validation_gives_the_scores_of_a_cpu(run: Run, tiles: Path, tmp_path: Path) -> None:
    metrics = ["--extractor", "none", "--metrics", "swd,edges"]
    assert run(train.main, "run", *training(tiles, "--val_freq", "1", "--precision", "fp32", *metrics)) == 0
    scores = records(tmp_path / "runs" / "run", "metrics.jsonl")
    assert [record["epoch"] for record in scores] == [1, 2]
    flags = ["--phase", "val", "--eval", "--results_dir", tmp_path / "results", "--device", "cpu", *metrics]
    assert run(test_program.main, "run", "--dataroot", tiles, "--num_threads", 0, *flags) == 0
    (file,) = (tmp_path / "results").rglob("metrics.json")
    tested = json.loads(file.read_text())["scores"]["fake_B"]
    key = next(key for key in tested if "swd" in key.lower())
    assert tested[key] == pytest.approx(scores[-1]["fake_B SWD x1000 (128 px)"], rel=0.02)
