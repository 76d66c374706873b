"""The counters of a run."""

from __future__ import annotations

import json

import pytest

from util.runs.progress import Progress


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


def test_restored_counters_continue() -> None:
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
