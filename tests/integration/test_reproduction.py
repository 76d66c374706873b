"""A run that is repeated from its options.json, and runs that end by the clock."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.faults.lab import compare
from tests.integration.conftest import Command


@pytest.mark.parametrize("seed", [["--seed", 5], []], ids=["given", "drawn"])
def test_options_of_a_run_repeat_it(seed: list[object], command: Command, train: Command, tmp_path: Path) -> None:
    common = ["--max_dataset_size", 4, "--print_freq", 1, "--update_html_freq", 1, "--norm", "batch", "--dropout"]
    train("--name", "first", *common, *seed)
    first = tmp_path / "checkpoints" / "first"
    options = json.loads((first / "options.json").read_text())
    versions = options["run"]["versions"]
    assert set(versions) == {"python", "torch", "numpy", "Pillow", "code", "threads", "device", "processes"}
    assert versions["device"] == "cpu" and versions["processes"] == "1"
    assert options["options"]["precision"] == "fp32"  # what auto stands for on a CPU
    assert options["run"]["dataset"]["trainA"]["files"] == 4 and "train.py" in options["run"]["command"][0]
    done = command("train.py", "--config", first / "options.json", "--name", "again")
    assert "note:" not in done.stderr
    assert compare(first, tmp_path / "checkpoints" / "again") == []


def test_causes_of_a_different_repetition_are_reported(command: Command, train: Command, tmp_path: Path) -> None:
    train("--name", "first")
    record = json.loads((tmp_path / "checkpoints" / "first" / "options.json").read_text())
    record["run"]["versions"] |= {"torch": "1.0.0", "device": "NVIDIA H100", "processes": "8"}
    record["run"]["dataset"]["trainB"]["bytes"] = 5
    (tmp_path / "old.json").write_text(json.dumps(record))
    done = command("train.py", "--config", "old.json", "--name", "again")
    assert "results may differ in the last bits from those of torch 1.0.0 (now" in done.stderr
    assert "device NVIDIA H100 (now cpu), processes 8 (now 1)" in done.stderr
    assert "note: the dataset differs from that of --config: trainB had 2 images with 5 bytes in total" in done.stderr


def test_a_time_limit_is_kept_with_all_saved(command: Command, train: Command, tmp_path: Path) -> None:
    start = time.monotonic()
    done = train("--name", "short", "--n_epochs", 100_000, "--time_limit", 0.3, "--save_every", 0.01, "--no_html")
    assert time.monotonic() - start < 0.3 * 60
    assert "stopped and saved in" in done.stderr and "--continue_train --dataroot" in done.stderr
    folder = tmp_path / "checkpoints" / "short"
    assert (folder / "latest_state.pt").is_file() and (folder / "latest_state.1.pt").is_file()
    going_on = command("train.py", "--dataroot", tmp_path, "--name", "short", "--continue_train", code=2)
    assert "expected" in going_on.stderr  # the time limit was of that call alone, the frequencies are of the run
    options = json.loads((folder / "options.json").read_text())["options"]
    assert "time_limit" not in options and options["save_every"] == 0.01
