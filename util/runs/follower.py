"""A training run in the processes that are not its first: they follow it, and leave the disk and the console to it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from util.monitors.base import print_line
from util.runs.checkpoint import Checkpoint, Stateful
from util.runs.loss_log import Record
from util.runs.progress import Progress
from util.runs.run import STATE, Run, Trained
from util.runtime.processes import processes
from util.runtime.torchrun_job import leave_mark


def create_run(opt: argparse.Namespace) -> Run:
    """The run; the first process makes or finds its folder before the others look at it."""
    processes().wait()  # until all have read the weights that they start from
    run = Run(opt) if processes().is_first else None
    processes().wait()
    leave_mark(Path(opt.checkpoints_dir) / opt.name)
    return run or FollowingRun(opt)


class FollowingRun(Run):
    """Counts as the first process does, reads the state that it has, and saves nothing."""

    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.folder = Path(opt.checkpoints_dir) / opt.name
        self.last_epoch = opt.n_epochs + opt.n_epochs_decay
        self.progress = Progress(first_epoch=opt.epoch_count)
        self.say: Callable[[str], None] = print_line
        self._writing = None
        self._longest_save = 0.0

    def hold(self, model: Trained, dataset: Stateful) -> None:
        self.model = model
        processes().wait()  # the first has taken up the state by now, and mended what was damaged
        checkpoint = Checkpoint(self.folder / STATE, self._state_objects(model, dataset, _NoLog()))
        if self.opt.continue_train and checkpoint.paths() and self.opt.epoch == "latest":
            checkpoint.load()
            self.opt.epoch_count = self.progress.first_epoch
        elif self.opt.continue_train:
            model.load_networks(self.opt.epoch)
        self._begin_together()

    def save(self, *names: str) -> None:
        self.model.check_finite()
        self.progress.saved_at = self.progress.seconds

    @property
    def is_saved(self) -> bool:
        return True


class _NoLog:
    """In the place of losses.jsonl."""

    records: tuple[Record, ...] = ()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Silence:
    """In the place of a Reporter."""

    def say(self, message: str) -> None:
        """What the first process says as well."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def step(self) -> None:
        """A step has been trained."""
