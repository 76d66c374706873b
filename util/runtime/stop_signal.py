"""Graceful stop: Ctrl-C, `kill` and --time_limit set a flag that the training loop checks between steps."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from util.errors import ProcessLost

START_TIME = time.monotonic()  # approximately the start of the program: this module is imported early
MARGIN = 5.0  # seconds reserved for a first save, whose duration is unknown, and for the exit


class StopSignal:
    """A context in which SIGINT or SIGTERM only sets `requested`; a second signal ends the program immediately.

    The immediate exit runs no cleanup, which might take long. Saved files stay intact, because files are written under
    a temporary name and then renamed. A ProcessLost exception does not end the context, so that the program can still
    report it.
    """

    def __init__(self, time_limit: float | None = None, seconds_to_save: Callable[[], float] = lambda: 0.0) -> None:
        """Create the context, without installing signal handlers.

        Args:
            time_limit: minutes after the start of the program by which it should have ended.
            seconds_to_save: returns the seconds that the final save takes, beyond those of a step.
        """
        self.signal: int | None = None
        self.time_limit = None if time_limit is None else 60 * time_limit
        self.seconds_to_save = seconds_to_save
        self._last_check = time.monotonic()
        self._longest = 0.0  # seconds between two checks: the duration of the longest step
        self._previous_handlers: dict[int, object] = {}

    @property
    def requested(self) -> bool:
        """Whether to save and stop now. Read it once a step: it requires time for another step and a save."""
        if self.time_limit is not None:
            now = time.monotonic()
            self._longest = max(self._longest, now - self._last_check)
            self._last_check = now
            if now - START_TIME + 2 * self._longest + self.seconds_to_save() + MARGIN > self.time_limit:
                return True
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells expect; 0 without a signal."""
        return 0 if self.signal is None else 128 + self.signal

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ProcessLost):  # torchrun will signal this process too, before it has reported the error
            return
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Under torchrun, Ctrl-C arrives from the terminal and from torchrun, which kills after 30 seconds by itself.
        if self.signal is not None and "TORCHELASTIC_RUN_ID" not in os.environ:
            print("\nstopped immediately: the last checkpoint is intact", file=sys.stderr, flush=True)
            os._exit(128 + number)
        self.signal = number
