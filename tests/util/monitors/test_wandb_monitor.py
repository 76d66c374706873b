"""Losses and images in wandb, offline."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from util.monitors import create_monitors

OPTIONS = argparse.Namespace(
    is_train=True, display_id=0, use_wandb=True, wandb_project_name="project", name="run", lr=2e-4
)


def record(images: int, **losses: float) -> dict[str, float]:
    return {"epoch": 1, "step": images, "images": images, "seconds": 0.1, "lr": 2e-4, **losses}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that wandb writes to, offline and silent."""
    for name, value in (("MODE", "offline"), ("DIR", str(tmp_path)), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    return tmp_path / "wandb"


def test_losses_history_options_and_images_are_logged(folder: Path) -> None:
    import wandb

    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    (monitor,) = create_monitors(OPTIONS, [record(100, G_A=0.7654321)])
    monitor.add_losses(record(200, G_A=0.1234567))
    monitor.show_images({"real_A": image}, epoch=1, images=200)
    assert wandb.run.config["lr"] == 2e-4 and wandb.run.project == "project" and wandb.run.name == "run"
    assert wandb.run.summary["G_A"] == 0.1234567
    monitor.close()

    assert wandb.run is None
    (log,) = folder.glob("offline-run-*/*.wandb")
    end = time.monotonic() + 20  # wandb's own process may still be writing
    while not all(value in log.read_bytes() for value in (b"G_A", b"0.7654321", b"0.1234567")):
        assert time.monotonic() < end, "the losses are not in the log"
        time.sleep(0.05)
    (png,) = folder.glob("offline-run-*/files/media/images/real_A_*.png")
    assert np.array_equal(np.asarray(Image.open(png)), image)


def test_a_failing_run_is_reported_once_and_survived(folder: Path) -> None:
    printed: list[str] = []
    (monitor,) = create_monitors(OPTIONS, [], printed.append)
    monitor.close()
    for images in (100, 200):
        monitor.add_losses(record(images, G_A=1.0))
    assert len(printed) == 1 and printed[0].startswith("wandb: ")
