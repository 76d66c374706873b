"""Models and datasets of users, and runs, of earlier versions keep working."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from data import create_dataset
from models import create_model
from options import TrainOptions
from tests.integration.conftest import ROOT, SMALL, Command
from util.runs.checkpoint import STATE_FORMAT
from util.runs.run import Run

FIXTURES = ROOT / "tests" / "fixtures"
MODEL = "tests.fixtures.templates.old_model:TemplateModel"
DATASET = "tests.fixtures.templates.old_dataset:TemplateDataset"


def test_templates_of_before_train_and_test(command: Command, tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    own = ["--dataroot", FIXTURES / "format2" / "images", "--name", "own", "--model", MODEL, "--dataset_mode", DATASET]
    flags = [*SMALL, "--display_id", "0", "--phase", "trainA", "--pool_size", "2", "--batch_size", "2"]
    done = command("train.py", *own, *flags, "--accumulate", "2", "--ema_decay", "0.9")
    assert "models.losses is now models.objectives.losses" in done.stderr
    assert "place is now prepare_network" in done.stderr
    command("test.py", *own, "--phase", "testA", "--num_threads", "0")
    assert list((tmp_path / "results" / "own").glob("*/images/*_fake_B.png"))


def equal(found: Any, expected: Any) -> bool:
    if isinstance(expected, torch.Tensor):
        return torch.equal(torch.as_tensor(found), expected)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(equal(found[key], value) for key, value in expected.items())
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(equal, found, expected))
    return bool(found == expected)


@pytest.mark.parametrize("name", ["v2_cycle_gan", "v2_pix2pix"])
def test_a_state_of_format_2_is_restored_tensor_by_tensor(tmp_path: Path, name: str) -> None:
    """Made by a run that was stopped after its first step (batch 2), before formats were migrated."""
    shutil.copytree(FIXTURES / "format2" / "checkpoints", tmp_path / "checkpoints")
    where = ["--dataroot", str(FIXTURES / "format2" / "images"), "--checkpoints_dir", str(tmp_path / "checkpoints")]
    opt = TrainOptions().parse([*where, "--name", name, "--continue_train"])
    dataset, model = create_dataset(opt), create_model(opt)
    model.setup(opt)
    run = Run(opt)
    run.attach(model, dataset)
    saved = torch.load(tmp_path / "checkpoints" / name / "latest_state.pt", weights_only=True)
    assert saved["format"] == 2 < STATE_FORMAT
    states = run.checkpoint.states()
    assert states.keys() == saved["objects"].keys() | {"metrics"}
    assert states["metrics"] == {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}  # new in format 4
    saved["objects"]["progress"]["best"] = ""  # likewise
    for key, expected in saved["objects"].items():
        if key.startswith("schedule_"):
            assert states[key]["initial"] == [expected.pop("lr")] and states[key]["rates"] == [expected.pop("rate")]
            expected |= {part: states[key][part] for part in ("initial", "rates")}
        assert equal(states[key], expected), key


@pytest.mark.parametrize("name", ["v2_cycle_gan", "v2_pix2pix"])
def test_a_run_of_format_2_is_resumed_to_its_end(command: Command, tmp_path: Path, name: str) -> None:
    shutil.copytree(FIXTURES / "format2" / "checkpoints", tmp_path / "checkpoints")
    images = FIXTURES / "format2" / "images"
    command("train.py", "--dataroot", images, "--name", name, "--continue_train", "--display_id", "0")
    assert torch.load(tmp_path / "checkpoints" / name / "latest_state.pt", weights_only=True)["format"] == STATE_FORMAT
    command("test.py", "--dataroot", images, "--name", name, "--num_threads", "0", "--preprocess", "none")
