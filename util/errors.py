"""The errors that end a program in an orderly way, and how they end it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(ValueError):
    """A mistake in what the user gave: one sentence with the option or file, its value and the remedy."""


class TrainingDiverged(ArithmeticError):
    """A loss or a gradient became NaN or infinite, `steps_ago` steps before the last. No weight has changed since."""

    step: int | None = None  # of the run, where that is known

    def __init__(self, numbers: str, steps_ago: int = 0) -> None:
        super().__init__(numbers)
        self.numbers, self.steps_ago = numbers, steps_ago

    def __str__(self) -> str:
        where = "training" if self.step is None else f"step {self.step}"
        return (
            f"{where}: {self.numbers}; stopped, and the last checkpoint is as it was: go on from there with "
            "--continue_train and a smaller --lr; if it is always the same step, look at the images of that step"
        )


class ProcessLost(RuntimeError):
    """Another process, without which this one can't go on, has ended."""


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Run a program's main function and exit with what it returns.

    A user's mistake ends it with exit code 2 and its sentence on stderr, a diverged training and an error of the
    system (a full disk) with 1, Ctrl-C with 130; none of them with a traceback.
    """
    try:
        code = main() or 0
        if together := sys.modules.get("util.runtime.processes"):
            together.leave(orderly=True)
        raise SystemExit(code)
    except UserError as error:
        message, code = f"error: {error}", 2
    except TrainingDiverged as error:
        message, code = f"error: {error}", 1
    except ProcessLost as error:
        if not started_first():  # the first says it
            raise SystemExit(1) from error
        message, code = f"error: {error}", 1
    except OSError as error:  # a full disk, a folder without permission: the error names the file
        message, code = f"error: {error}", 1
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    if not _is_said_elsewhere(message):
        print(message, file=sys.stderr)
    raise SystemExit(code)


def _is_said_elsewhere(message: str) -> bool:
    """Whether this is one of several processes, and another one says it."""
    together = sys.modules.get("util.runtime.processes")
    return together.is_said_elsewhere(message) if together else not started_first()


def started_first() -> bool:
    """Whether this process is the only one, or the first of several; known before they are connected."""
    return os.environ.get("RANK", "0") == "0"
