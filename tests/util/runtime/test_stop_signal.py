"""Ctrl-C and kill."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from util.errors import ProcessLost
from util.runtime import stop_signal
from util.runtime.stop_signal import StopSignal


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_a_wish_and_the_second_an_end(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "_exit", sys.exit)
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop.requested and stop.exit_code == 0
        os.kill(os.getpid(), number)
        assert stop.requested and stop.exit_code == code
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), number)
        assert caught.value.code == code
    assert signal.getsignal(number) is before


def test_who_has_lost_another_process_gets_to_say_so_before_torchrun_ends_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ProcessLost), StopSignal():
            raise ProcessLost("another process has ended")
        os.kill(os.getpid(), signal.SIGTERM)  # does not end this one
        with pytest.raises(KeyError), StopSignal():
            raise KeyError
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, before if number == signal.SIGTERM else signal.default_int_handler)


def test_a_time_limit_leaves_time_for_another_step_and_a_save(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monkeypatch.setattr(stop_signal, "START_TIME", 970.0)  # 30 seconds ago
    stop, seen = StopSignal(time_limit=2, seconds_to_save=lambda: 10.0), []
    for seconds in (10, 4, 10, 10, 10, 10, 10, 10, 10):
        clock += seconds
        seen.append(stop.requested)
    # Of 120 seconds 35 are kept: twice the longest step, 10, a save, 10, and 5. It is 84 after the sixth step.
    assert seen == [False] * 6 + [True] * 3
    assert stop.exit_code == 0
