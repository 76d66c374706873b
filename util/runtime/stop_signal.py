"""Ctrl-C, `kill` and --time_limit as wishes to stop, which a loop can grant between two steps."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from util.errors import ProcessLost

STARTED = time.monotonic()  # of the program, nearly: this module is among the first to be imported
MARGIN = 5.0  # seconds kept for a save that was not made yet, and for ending


class StopSignal:
    """A context in which a SIGINT or SIGTERM only sets `requested`, and a second one ends the program at once.

    At once means without any clean-up, which might take long: what is saved is safe, as files are written beside
    their names. Left by a ProcessLost it goes on, until the program has said that.
    """

    def __init__(self, time_limit: float | None = None, seconds_to_save: Callable[[], float] = lambda: 0.0) -> None:
        """Ready to be told to stop.

        Args:
            time_limit: minutes after the start of the program by which it should have ended.
            seconds_to_save: what a save at the end takes beyond what a step does.
        """
        self.signal: int | None = None
        self.time_limit = None if time_limit is None else 60 * time_limit
        self.seconds_to_save = seconds_to_save
        self._last_look = time.monotonic()
        self._longest = 0.0  # seconds between two looks, with all that a step takes
        self._before: dict[int, object] = {}

    @property
    def requested(self) -> bool:
        """Whether to save and stop now. To be asked once a step: the time left has to do for another, and a save."""
        if self.time_limit is not None:
            now = time.monotonic()
            self._longest = max(self._longest, now - self._last_look)
            self._last_look = now
            if now - STARTED + 2 * self._longest + self.seconds_to_save() + MARGIN > self.time_limit:
                return True
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal stopped; 0 if none did."""
        return 0 if self.signal is None else 128 + self.signal

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ProcessLost):  # torchrun is about to end this process as well; first it has to say why
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Torchrun passes on what a terminal has sent to all, and ends by itself what does not end within 30 seconds.
        if self.signal is not None and "TORCHELASTIC_RUN_ID" not in os.environ:
            print("\nstopped at once: what was saved last is as it was", file=sys.stderr, flush=True)
            os._exit(128 + number)
        self.signal = number
