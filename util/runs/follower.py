"""A training run on ranks other than 0: it counts and restores as rank 0 does, and writes nothing."""

from __future__ import annotations

import argparse

from util.runs.base_run import BaseRun, Trained
from util.runs.checkpoint import Stateful
from util.runs.loss_log import NullLossLog
from util.runtime.processes import processes


class FollowerRun(BaseRun):
    """The run of a follower rank. Its counters equal those of rank 0, which alone saves."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.log, self.metrics_log = NullLossLog(), NullLossLog()
        self.print_message = lambda message: None  # rank 0 prints the same

    def attach(self, model: Trained, dataset: Stateful) -> None:
        self._attach(model, dataset)
        processes().barrier()  # rank 0 restores first: it repairs damaged files
        self._restore()
        self._check_replicas()

    def save(self, *names: str) -> None:
        self.model.check_finite()
        self.progress.saved_at = self.progress.seconds

    @property
    def is_saved(self) -> bool:
        return True
