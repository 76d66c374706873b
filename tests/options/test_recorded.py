"""The options of a run in published documents: what describes the run, nothing about the machine."""

from __future__ import annotations

from pathlib import Path

from options import TestOptions, TrainOptions
from options.recorded import descriptive_options


def test_options_of_a_trained_run(tmp_path: Path) -> None:
    (tmp_path / "trainA").mkdir()
    opt = TrainOptions().parse(["--dataroot", str(tmp_path), "--ngf", "8", "--lr", "0.001", "--model", "cut"])
    found = descriptive_options(vars(opt))
    assert (
        found["model"] == "cut"
        and found["dataset_mode"] == "unaligned"
        and found["ngf"] == 8
        and found["lr"] == 0.001
        and found["netF_nc"] == 256
    )
    assert not {"dataroot", "checkpoints_dir", "name", "device", "num_threads", "display_id"} & found.keys()
    assert not any("/" in value for value in found.values() if isinstance(value, str))


def test_weights_from_elsewhere_have_only_their_network(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "mine").mkdir(parents=True)
    flags = ["--dataroot", str(tmp_path), "--name", "mine", "--checkpoints_dir", str(tmp_path / "checkpoints")]
    opt = TestOptions().parse([*flags, "--model", "test", "--netG", "unet_128"])
    found = descriptive_options(vars(opt))
    assert found["netG"] == "unet_128" and found["norm"] == "instance"
    assert not {"lr", "batch_size", "seed", "gan_mode", "load_size"} & found.keys()
