"""Ctrl-C and kill."""

from __future__ import annotations

import os
import signal

import pytest

from util.stop_signal import StopSignal


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_a_wish_and_the_second_an_end(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert stop.requested is None and stop.exit_code == 0
        os.kill(os.getpid(), number)
        assert stop.requested == number and stop.exit_code == code
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), number)
        assert caught.value.code == code
    assert signal.getsignal(number) is before
