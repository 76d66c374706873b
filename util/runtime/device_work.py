"""Measures how long a device computes, without waiting for it."""

from __future__ import annotations

import torch

from util.runtime.device import get_device


class DeviceWork:
    """The operations that are queued between `begin` and `end`. On a CPU, the program itself computes them."""

    def __init__(self, name: str) -> None:
        """`name`: the value of --device."""
        self.device = get_device(name)
        is_cuda = self.device.type == "cuda"
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if is_cuda else []

    @staticmethod
    def is_measurable(name: str) -> bool:
        """Whether this kind of device can be measured."""
        return get_device(name).type in ("cpu", "cuda")

    def begin(self) -> None:
        """Mark the start of the work: the operations that follow belong to it."""
        if self._events:
            self._events[0].record(torch.cuda.current_stream(self.device))

    def end(self) -> None:
        """Mark the end of the work: its last operation has been queued."""
        if self._events:
            self._events[1].record(torch.cuda.current_stream(self.device))

    def seconds(self) -> float | None:
        """The seconds that the device took for the work; None if it has not finished. 0 on a CPU. Never waits."""
        if not self._events:
            return 0.0
        begin, end = self._events
        return begin.elapsed_time(end) / 1000 if end.query() else None
