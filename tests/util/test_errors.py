"""How a program ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest

from util.errors import TrainingDiverged, UserError, run_main


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def main() -> NoReturn:
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "code", "message"),
    [
        (lambda: None, 0, ""),
        (lambda: 0, 0, ""),
        (lambda: 143, 143, ""),
        (raising(UserError("--lr 0 is wrong")), 2, "error: --lr 0 is wrong\n"),
        (raising(TrainingDiverged("G_A = nan")), 1, "error: training: G_A = nan; training stopped"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
    ],
    ids=["none", "zero", "signal", "mistake", "diverged", "Ctrl-C"],
)
def test_exit_codes_and_messages(
    main: Callable[[], int | None], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_main(main)
    assert caught.value.code == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(message) and bool(printed.err) == bool(message)


def test_a_bug_raises_as_usual() -> None:
    with pytest.raises(ZeroDivisionError):
        run_main(raising(ZeroDivisionError()))
