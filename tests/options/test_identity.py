"""Which options make a test another test, whose results get a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from options import TestOptions


def identity(tmp_path: Path, *flags: str) -> dict[str, Any]:
    """The identity of a test of weights without a run's options."""
    (tmp_path / "checkpoints" / "run").mkdir(parents=True, exist_ok=True)
    where = ["--dataroot", str(tmp_path), "--checkpoints_dir", str(tmp_path / "checkpoints"), "--name", "run"]
    options = TestOptions()
    return options.identity(options.parse([*where, "--model", "cycle_gan", *flags]))


@pytest.mark.parametrize(
    "flags",
    [
        *(["--num_test", "3"], ["--direction", "BtoA"], ["--eval"], ["--phase", "val"], ["--epoch", "5"]),
        *(["--load_iter", "5"], ["--dataroot", "elsewhere"], ["--model", "test"], ["--translate", "A"], ["--no_truth"]),
        *(
            ["--model", "test", "--model_suffix", "_B"],
            ["--preprocess", "none"],
            ["--crop_size", "64"],
            ["--seed", "1"],
        ),
        *(["--seed", "1"], ["--dropout"], ["--netG", "unet_256"], ["--precision", "bf16"], ["--aspect_ratio", "2"]),
    ],
)
def test_options_that_change_the_results(tmp_path: Path, flags: list[str]) -> None:
    assert identity(tmp_path, *flags) != identity(tmp_path)


@pytest.mark.parametrize(
    "flags",
    [
        *(["--num_threads", "1"], ["--batch_size", "4"], ["--device", "cpu"], ["--verbose"], ["--cache", "ram"]),
        *(["--results_dir", "elsewhere"], ["--display_winsize", "64"], ["--ndf", "8"], ["--conv", "direct"]),
    ],
)
def test_options_that_do_not(tmp_path: Path, flags: list[str]) -> None:
    assert identity(tmp_path, *flags) == identity(tmp_path)
