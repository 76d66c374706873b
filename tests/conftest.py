"""Small folders of images, and resolved options for them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from options import TrainOptions

# One thread for each of the processes that tests run in and start: with more than there are cores they wait in turn.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

Options = Callable[..., argparse.Namespace]

# Networks and images so small that a step takes milliseconds.
SMALL = (
    *("--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--load_size", "32", "--crop_size", "32"),
    *("--num_threads", "0", "--device", "cpu", "--seed", "1"),
)

WITHDRAWN = {"dcgan": ("--netG", "--netD", "--n_layers_D")}


def fitting(common: Sequence[object], flags: Sequence[object]) -> list[str]:
    """Both, as text; of the common ones, flags with a value each, not those that the model of `flags` has withdrawn."""
    model = flags[flags.index("--model") + 1] if "--model" in flags else ""
    pairs = [pair for pair in zip(common[::2], common[1::2], strict=True) if pair[0] not in WITHDRAWN.get(model, ())]
    return [str(part) for pair in [*pairs, flags] for part in pair]


def tile(number: int, width: int, height: int) -> Image.Image:
    """A picture with large smooth shapes and a bit of grain, another one for each number."""
    random = np.random.default_rng(number)
    shapes = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((width, height), 3)
    grain = random.normal(0, 4, (height, width, 3))
    return Image.fromarray((np.asarray(shapes) + grain).clip(0, 255).astype(np.uint8))


def write_tiles(folder: Path, count: int, width: int = 40, height: int = 36) -> list[Path]:
    """Write tiles 00.png, 01.png, ... that differ from those of every other folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:02}.png" for i in range(count)]
    for i, path in enumerate(paths):
        tile(sum(folder.name.encode()) * 1000 + i, width, height).save(path)
    return paths


@pytest.fixture
def two_domains(tmp_path: Path) -> Path:
    """A dataroot with 6 images in trainA, 4 in trainB, and 3 of the same names in testA and testB."""
    root = tmp_path / "tiles"
    for name, count in (("trainA", 6), ("trainB", 4), ("testA", 3), ("testB", 3)):
        write_tiles(root / name, count)
    return root


@pytest.fixture
def options(two_domains: Path, tmp_path: Path) -> Options:
    """Resolved options of a small training run on `two_domains`; flags that are given win."""
    common = ["--dataroot", str(two_domains), "--checkpoints_dir", str(tmp_path / "checkpoints"), *SMALL]
    return lambda *flags: TrainOptions().parse(fitting(common, flags))
