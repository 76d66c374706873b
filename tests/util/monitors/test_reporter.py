"""What a training run shows, and that a failure to show it does not stop the run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import Options
from util.errors import TrainingDiverged
from util.image_sizes import ImageSizes
from util.monitors.reporter import Reporter
from util.runs.run import Run
from util.stage import Stage


class Model:
    """The smallest model for a reporter."""

    learning_rate, skipped_steps, has_fixed_samples = 0.5, 0, False
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.tested = 0

    def image_sizes(self, stage: Stage) -> ImageSizes:
        return ImageSizes()

    def validating(self) -> AbstractContextManager[None]:
        return torch.random.fork_rng(devices=[])

    def set_input(self, batch: Mapping[str, Any]) -> None:
        self.batch = batch

    def test(self) -> None:
        torch.rand(1)  # as dropout would, if it were not in eval mode
        self.tested += 1

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

    def advise_if_slow(self) -> None:
        pass

    def fixed_batches(self, count: int, sizes: ImageSizes) -> list[dict[str, Any]]:
        return [{"A_paths": [f"folder/{number}.png"]} for number in range(count)]


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
    assert sorted(path.name for path in images.iterdir()) == [
        *("epoch001_fake_B.png", "epoch001_fixed1_fake_B.png", "epoch001_fixed2_fake_B.png")
    ]
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


def test_every_epoch_has_a_line_and_a_row_however_short(opt: argparse.Namespace) -> None:
    opt.print_freq = opt.update_html_freq = 1000
    run, reporter = start(opt)
    with reporter:
        for _ in range(3):
            for _ in range(6):
                step(run, reporter)
            run.progress.end_epoch()
    assert [(record["epoch"], record["images"]) for record in run.log.records] == [(1, 6), (2, 12), (3, 18)]
    assert reporter.page is not None and list(reporter.page.rows) == [1, 2, 3]


def test_an_epoch_that_has_a_line_and_a_row_needs_no_other(opt: argparse.Namespace) -> None:
    opt.print_freq = opt.update_html_freq = 4
    run, reporter = start(opt)
    with reporter:
        for _ in range(6):
            step(run, reporter)
    assert [record["images"] for record in run.log.records] == [4]


def test_fixed_images_leave_no_trace_and_their_failure_is_reported_once(
    opt: argparse.Namespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reporter = start(opt)
    random = torch.get_rng_state()
    with reporter:
        step(run, reporter)
        assert torch.equal(torch.get_rng_state(), random)
        page = run.folder / "web" / "index.html"
        assert "fixed: 0.png" in page.read_text() and "fixed: 1.png" in page.read_text()

        def fail(self: Model) -> None:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(Model, "test", fail)
        for _ in range(3):
            step(run, reporter)
    assert capsys.readouterr().err.count("no fixed images from now on (out of memory)") == 1
    assert "epoch001_fake_B.png" in page.read_text() and "fixed: " not in page.read_text()


def test_the_path_of_the_page_is_printed_at_the_start(
    opt: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = start(opt)
    assert f"samples and losses: {run.folder}/web/index.html" in capsys.readouterr().out
