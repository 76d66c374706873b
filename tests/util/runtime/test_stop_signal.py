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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither signal")
@pytest.mark.parametrize(("name", "code"), [("SIGHUP", 129), ("SIGUSR1", 138)])
def test_a_lost_terminal_and_a_scheduler_ask_for_a_save(name: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", sys.exit)
    number = getattr(signal, name)
    of_tests = signal.signal(number, signal.SIG_DFL)  # ignored, if they run under nohup
    before = signal.getsignal(number)
    with StopSignal() as stop:
        os.kill(os.getpid(), number)
        assert stop.requested and stop.exit_code == code
        os.kill(os.getpid(), number)  # a shell sends SIGHUP again
        os.kill(os.getpid(), signal.SIGTERM)  # Slurm's next signal, while the program saves
        assert stop.exit_code == code
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(number) is before
    signal.signal(number, of_tests)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_a_hangup_that_was_ignored_before_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested and stop.exit_code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_who_has_lost_another_process_gets_to_say_so_before_torchrun_ends_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ProcessLost), StopSignal():
            raise ProcessLost("another process has ended")
        os.kill(os.getpid(), signal.SIGTERM)  # does not end this one
        with pytest.raises(KeyError), StopSignal():
            raise KeyError
    finally:
        for number in stop_signal.STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        signal.signal(signal.SIGTERM, before)


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


def test_a_time_limit_of_several_processes_leaves_time_for_the_step_that_still_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monkeypatch.setattr(stop_signal, "START_TIME", 1000.0)
    stop, seen = StopSignal(time_limit=1, steps_to_stop=1), []
    for _ in range(4):
        clock += 10
        seen.append(stop.requested)
    assert seen == [False, False, True, True]  # of 60 seconds 35 are kept: three steps, 10 each, and 5
