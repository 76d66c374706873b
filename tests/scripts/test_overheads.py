"""scripts/benchmarks/overheads.py, on a tiny model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from scripts.benchmarks.overheads import measure_overheads
from util.monitors.console import Console
from util.pages.training_page import TrainingPage
from util.runs.checkpoint import Checkpoint
from util.runs.loss_log import LossLog

TINY = ["--netG", "resnet_6blocks", "--netD", "pixel", "--ngf", "2", "--ndf", "2", "--lambda_identity", "0"]


def slowed(method: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return method(*arguments, **named)

    return slow


def test_each_delay_appears_in_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("visdom")
    monkeypatch.setattr(Console, "advance", slowed(Console.advance, 0.5))  # each step
    monkeypatch.setattr(Console, "report", slowed(Console.report, 0.3))  # each time losses are printed
    monkeypatch.setattr(TrainingPage, "add_samples", slowed(TrainingPage.add_samples, 0.7))
    monkeypatch.setattr(LossLog, "state_dict", slowed(LossLog.state_dict, 0.4))  # while the state is copied
    monkeypatch.setattr(Checkpoint, "write", slowed(Checkpoint.write, 1.5))  # sleeping takes no CPU time
    figures = measure_overheads(TINY, pairs=3, repeats=1)
    step = figures["step"]
    assert 0.2 < step["loop"] - step["bare"] < 1.6
    for epoch in ("epoch 1", "epoch 200"):
        events = figures[epoch]
        # Events after a step include the 0.5 of the step. A busy machine adds some tenths of a second.
        assert 0.6 < events["losses"] < 2 and 0.5 < events["page"] < 2 and events["monitors"] < 0.6
        assert 0.3 < events["save"] < 1.3 and events["save, background"] < 1.3
        saves = 1 / 5000 + 1 / (5 * 1334)
        seconds = events["losses"] / 100 + events["monitors"] / 400 + events["page"] / 1000
        seconds += (events["save"] + events["save, background"]) * saves + step["loop"] - step["bare"]
        assert events["share"] == pytest.approx(seconds / step["bare"])
        assert events["ratio"] == pytest.approx(1 / (1 + events["share"]))
