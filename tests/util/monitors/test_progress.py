"""How far a run is."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from util.runs.progress import Console, Progress


def due_at(every: int, batch_size: int, images: int) -> list[int]:
    """The counts of images at which something is due."""
    progress, due = Progress(), []
    while progress.images < images:
        progress.count(batch_size)
        if progress.due(every):
            due.append(progress.images)
    return due


@pytest.mark.parametrize(
    ("every", "batch_size", "expected"),
    [
        (5, 1, [5, 10, 15]),
        (1, 1, list(range(1, 17))),
        (5, 2, [6, 10, 16]),
        (5, 16, [16]),
        (5, 4, [8, 12, 16]),
        (100, 1, []),
    ],
)
def test_something_is_due_on_passing_a_multiple(every: int, batch_size: int, expected: list[int]) -> None:
    assert due_at(every, batch_size, 16) == expected


def test_a_run_counts_epochs_from_its_first() -> None:
    progress = Progress(first_epoch=7)
    progress.count(3)
    progress.count(2)
    assert (progress.epoch, progress.images_in_epoch, progress.images, progress.step) == (7, 5, 5, 2)
    progress.end_epoch()
    progress.count(1)
    assert (progress.epoch, progress.images_in_epoch, progress.images, progress.step) == (8, 1, 6, 3)


def test_a_restored_count_goes_on() -> None:
    progress = Progress(first_epoch=2)
    for _ in range(3):
        progress.count(4)
    progress.end_epoch()
    progress.count(2)
    state = json.loads(json.dumps(progress.state_dict()))
    again = Progress()
    again.load_state_dict(state)
    assert again.state_dict() == progress.state_dict()
    assert again.due(7) and not again.due(5)  # as the last step of the first session was: 12 to 14 images
    again.count(1)
    assert (again.epoch, again.first_epoch, again.images, again.step) == (3, 2, 15, 5)
    assert again.seconds >= progress.seconds > 0


def test_the_time_between_two_sessions_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    progress = Progress()
    now = 103.0
    progress.count(1)
    now = 200.0
    again = Progress()
    now = 500.0
    again.load_state_dict(progress.state_dict())
    now = 502.0
    again.count(1)
    assert again.seconds == 5.0


def test_without_a_terminal_a_report_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(total=2000, done=1000)
    console.advance(500, "epoch 2/3")
    console.report("epoch 2/3", {"G_A": 0.12345, "D_A": 2.0})
    console.say("skipped unreadable image x.png: is empty")
    console.close()
    printed = capsys.readouterr()
    assert printed.out.startswith("epoch 2/3, 1,500 of 2,000 images, 00:00 left: G_A 0.123  D_A 2.000\n")
    assert printed.err == "skipped unreadable image x.png: is empty\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no disk that is always full")
def test_a_console_that_takes_nothing_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "stderr", full)
        console = Console(10, 0)
        console.report("epoch 1", {"G_A": 1.0})
        console.say("a warning")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
