"""Operators of a training step on a GPU, and waits for it: counted on fake CUDA tensors.

On a GPU, a step with small batches takes as long as the host needs to launch its operators. A step that waits for the
device (to read a number, or for a copy) leaves the device idle until the next launch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.fake_cuda.steps import count_operators

pytestmark = pytest.mark.xdist_group("fake_cuda")  # the steps are counted once for all tests

# The operators of a step, by model and options. Fewer are an improvement: lower the number.
USUAL = {  # each model, each precision and each of the other options
    "": 1087,
    "--augment diffaug --ema_decay 0.999": 1381,
    "--precision fp16": 1579,
    "--model dcgan": 224,
    "--model cut --precision bf16 --ema_decay 0.999": 1785,
    "--model pix2pix --precision bf16 --ema_decay 0.999": 436,
    "--model pix2pix_hd --ema_decay 0.999": 587,
    "--model colorization": 337,
}
OTHERS = {
    "--precision tf32": 1087,
    "--precision bf16": 1555,
    "--joint_passes off": 1551,
    "--gan_mode wgangp": 1645,
    "--ema_decay 0.999": 1089,
    "--augment diffaug": 1379,
    "--model cut": 1339,
    "--model cut --precision fp16": 1806,
    "--model cut --CUT_mode FastCUT": 766,
    "--model cut --CUT_mode FastCUT --precision bf16": 1034,
    "--model cut --CUT_mode FastCUT --precision fp16": 1054,
    "--model pix2pix": 337,
    "--model pix2pix --precision fp16": 732,  # batch norm's means stay as they were if the step is skipped
    "--model pix2pix_hd --precision bf16": 868,
    "--model pix2pix_hd --precision fp16": 890,
    "--model dcgan --precision bf16": 265,
    "--model dcgan --precision fp16": 411,
    "--model dcgan --augment diffaug --ema_decay 0.999": 375,
    "--model colorization --precision bf16": 422,
    "--model colorization --precision fp16": 732,
}
MOST = USUAL | OTHERS
ALL = [USUAL, pytest.param(OTHERS, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=ALL, ids=["usual", "others"])
def counts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("fake_cuda")
    for name, width in (("un/trainA", 64), ("un/trainB", 64), ("al/train", 128)):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (width, 64)).save(folder / name / "0.png")
    return count_operators({flags: command(folder, flags) for flags in request.param}, folder)


def command(folder: Path, flags: str) -> list[str]:
    """The command line of train.py for these flags, with small images; U-Nets need 256 pixels."""
    is_unet = "pix2pix" in flags.split() or "colorization" in flags
    data = {"dcgan": "un/trainA", "pix2pix": "al", "pix2pix_hd": "al", "colorization": "al"}
    root = folder / next((data[word] for word in flags.split() if word in data), "un")
    size = "256" if is_unet else "64"
    extra = ["--batch_size", "4"] if "dcgan" in flags else ["--phase", "train"]
    fixed = ["--dataroot", str(root), "--load_size", size, "--crop_size", size]
    return [*fixed, "--checkpoints_dir", str(folder), "--name", "run", *extra, *flags.split()]


def test_the_default_step_has_at_most_1100_operators() -> None:
    assert MOST[""] <= 1100


def test_steps_have_no_more_operators_than_recorded(counts: dict[str, dict[str, Any]]) -> None:
    assert all(count["operators"] > 0 for count in counts.values())
    assert {flags: n for flags, n in counts.items() if n["operators"] > MOST[flags]} == {}


def test_no_step_waits_for_the_device(counts: dict[str, dict[str, Any]]) -> None:
    assert not {flags: count["waits"] for flags, count in counts.items() if count["waits"]}
