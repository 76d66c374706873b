"""The progress bar and its messages."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from util.monitors.console import Console


def test_without_a_terminal_a_report_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(total=2000, done=1000)
    console.advance(500, "epoch 2/3")
    console.report("epoch 2/3", {"G_A": 0.12345, "D_A": 2.0})
    console.print_message("unreadable image x.png: is empty")
    console.close()
    printed = capsys.readouterr()
    assert printed.out.startswith("epoch 2/3, 1,500 of 2,000 images, 00:00 left: G_A 0.123  D_A 2.000\n")
    assert printed.err == "unreadable image x.png: is empty\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_console_that_cannot_be_written_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "stderr", full)
        console = Console(10, 0)
        console.report("epoch 1", {"G_A": 1.0})
        console.print_message("a warning")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
