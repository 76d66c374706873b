"""Measures how long training waits for its first batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Work(Protocol):
    """How the meter measures the work of the device, see `util.runtime.device_work`."""

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def seconds(self) -> float | None: ...


class WaitMeter:
    """Measures, from batch to batch, the seconds of the training step and those of waiting for the next batch.

    A step lasts as long as this program or the device needs for it, whichever is longer. If the device still computes
    when the next batch arrives, training has not waited. The first SKIPPED batches do not count: workers and kernels
    start, and the workers have loaded batches in advance.
    """

    BATCHES = 50
    SKIPPED = 20

    def __init__(
        self, work: Work, report: Callable[[float, float], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`report` is called once, after BATCHES batches, with the mean seconds of waiting and of a step."""
        self.work, self.report, self.clock = work, report, clock
        self.count = 0  # of batches, over all epochs
        self.waiting = self.total = 0.0

    def measure(self, batches: Iterator[T]) -> Iterator[T]:
        """The same batches, of one epoch."""
        is_measured, arrived, asked = False, 0.0, 0.0
        for batch in batches:
            now = self.clock()
            if is_measured:
                self._add(now - arrived, asked - arrived, self.work.seconds())
            is_measured, arrived = self.count < self.BATCHES, now
            if is_measured:
                self.work.begin()
            yield batch
            if is_measured:
                self.work.end()
                asked = self.clock()

    def _add(self, total: float, own: float, device: float | None) -> None:
        """Count a step: seconds until the next batch, of this program's part, and of the device's part."""
        self.count += 1
        if self.count > self.SKIPPED:
            self.waiting += 0.0 if device is None else max(0.0, total - max(own, device))
            self.total += total
        if self.count == self.BATCHES:
            measured = self.BATCHES - self.SKIPPED
            self.report(self.waiting / measured, (self.total - self.waiting) / measured)
