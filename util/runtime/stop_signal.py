"""Graceful stop: signals and --time_limit set a flag that the training loop checks between steps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType

from util.errors import CollectiveFailed, ProcessLost

START_TIME = time.monotonic()  # approximately the start of the program: this module is imported early
# Ctrl-C and `kill`. A second one of these ends the program immediately.
REPEATABLE = (signal.SIGINT, signal.SIGTERM)
# The terminal is lost (SIGHUP); a scheduler warns before its time limit, as Slurm's --signal=USR1@60 does. Shells send
# SIGHUP twice, and schedulers send SIGTERM after SIGUSR1, so these do not count as a second signal, nor as a first.
WARNINGS = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1") if hasattr(signal, name))
STOP_SIGNALS = (*REPEATABLE, *WARNINGS)
MARGIN = 5.0  # seconds reserved for a first save, whose duration is unknown, and for the exit


class StopSignal:
    """A context in which a signal of STOP_SIGNALS only sets `requested`; a second Ctrl-C or SIGTERM exits immediately.

    SIGHUP and SIGUSR1 stay ignored if they were ignored before, as under nohup.
    The immediate exit runs no cleanup, which might take long. Saved files stay intact, because files are written under
    a temporary name and then renamed. A ProcessLost or CollectiveFailed exception does not end the context, so that the
    program can still report it.
    """

    def __init__(
        self,
        time_limit: float | None = None,
        seconds_to_save: Callable[[], float] = lambda: 0.0,
        steps_to_stop: int = 0,
    ) -> None:
        """Create the context, without installing signal handlers.

        Args:
            time_limit: minutes after the start of the program by which it should have ended.
            seconds_to_save: returns the seconds that the final save takes, beyond those of a step.
            steps_to_stop: the number of steps that still run after `requested` is True.
        """
        self.signal: int | None = None  # the first one that arrived
        self.time_limit = None if time_limit is None else 60 * time_limit
        self.seconds_to_save, self.steps_to_stop = seconds_to_save, steps_to_stop
        self._last_check = time.monotonic()
        self._longest = 0.0  # seconds between two checks: the duration of the longest step
        self._is_repeatable = False  # whether a signal of REPEATABLE arrived
        self._previous_handlers: dict[int, object] = {}

    @property
    def requested(self) -> bool:
        """Whether to save and stop now. Read it once a step: it requires time for another step and a save."""
        if self.time_limit is not None:
            now = time.monotonic()
            self._longest = max(self._longest, now - self._last_check)
            self._last_check = now
            steps = (2 + self.steps_to_stop) * self._longest
            if now - START_TIME + steps + self.seconds_to_save() + MARGIN > self.time_limit:
                return True
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells expect; 0 without a signal."""
        return 0 if self.signal is None else 128 + self.signal

    def __enter__(self) -> StopSignal:
        for number in STOP_SIGNALS:
            if number in REPEATABLE or signal.getsignal(number) is not signal.SIG_IGN:
                self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # torchrun will signal this process too, before it has reported the error.
        if isinstance(error, (ProcessLost, CollectiveFailed)):
            return
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Under torchrun, Ctrl-C arrives from the terminal and from torchrun, which kills after 30 seconds by itself.
        if number in REPEATABLE and self._is_repeatable and "TORCHELASTIC_RUN_ID" not in os.environ:
            with suppress(OSError):  # not print: the signal may have interrupted another print
                os.write(2, b"\nstopped immediately: the last checkpoint is intact\n")
            os._exit(128 + number)
        self._is_repeatable |= number in REPEATABLE
        self.signal = self.signal or number
