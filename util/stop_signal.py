"""Ctrl-C and `kill` as a wish to stop, which a loop can grant between two steps."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class StopSignal:
    """A context in which the first SIGINT or SIGTERM only sets `requested`; a second one ends the program."""

    def __init__(self) -> None:
        self.requested: int | None = None  # the signal's number
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            raise SystemExit(128 + number)
        self.requested = number

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal stopped; 0 if none did."""
        return 0 if self.requested is None else 128 + self.requested
