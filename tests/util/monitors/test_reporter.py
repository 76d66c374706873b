"""What a training run shows, and that a failure to show it does not stop the run."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import Options
from util.errors import TrainingDiverged
from util.monitors.reporter import Reporter
from util.runs.run import Run


class Model:
    """The smallest model for a reporter."""

    learning_rate, device, skipped_steps = 0.5, "cpu", 0

    def check_finite(self) -> None:
        pass

    def get_current_losses(self) -> dict[str, float]:
        return {"G_A": 0.25}

    def get_current_visuals(self) -> dict[str, Tensor]:
        return {"fake_B": torch.zeros(1, 3, 4, 4)}

    def describe(self, verbose: bool = False) -> str:
        return "netG"


class Dataset:
    """The smallest dataset for a reporter."""

    def print_message(self, message: str) -> None:
        pass

    def __len__(self) -> int:
        return 6

    def summary(self) -> str:
        return "6 images"


@pytest.fixture
def opt(options: Options) -> argparse.Namespace:
    return options("--print_freq", 1, "--update_html_freq", 1, "--display_id", 0)


def start(opt: argparse.Namespace) -> tuple[Run, Reporter]:
    run = Run(opt)
    return run, Reporter(opt, run, Dataset(), Model())


def step(run: Run, reporter: Reporter) -> None:
    run.progress.count(1)
    reporter.step()


def test_a_divergence_is_reported_with_its_step(opt: argparse.Namespace) -> None:
    run, reporter = start(opt)
    with pytest.raises(TrainingDiverged, match=r"^step 3: G_A = nan; training stopped") as caught, reporter:
        for _ in range(5):
            step(run, reporter)
        raise TrainingDiverged("G_A = nan", steps_ago=2)
    assert caught.value.step == 3


def test_a_page_that_cannot_be_written_is_reported_once_and_tried_again(
    opt: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run, reporter = start(opt)
    images: Path = run.folder / "web" / "images"
    with reporter:
        images.write_text("a file where a folder should be")
        for _ in range(3):
            step(run, reporter)
        assert capsys.readouterr().err.count("can't write the training page") == 1
        images.unlink()
        step(run, reporter)
    assert [path.name for path in images.iterdir()] == ["epoch001_fake_B.png"]
    assert [record["step"] for record in run.log.records] == [1, 2, 3, 4]


def test_losses_that_cannot_be_written_follow_later(
    opt: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run, reporter = start(opt)
    with reporter:
        run.log.path.mkdir()
        step(run, reporter)
        assert "losses.jsonl (" in (err := capsys.readouterr().err) and "can't write to" in err
        run.log.path.rmdir()
        step(run, reporter)
    assert len(run.log.path.read_text().splitlines()) == 2
