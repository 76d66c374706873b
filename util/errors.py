"""The errors that end a program in an orderly way, and how they end it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(ValueError):
    """A mistake in what the user gave: one sentence with the option or file, its value and the remedy."""


class TrainingDiverged(ArithmeticError):
    """A loss became NaN or infinite. The phase it belongs to took no step, and nothing of it was saved."""

    where = "training"

    def __init__(self, losses: str) -> None:
        super().__init__(losses)
        self.losses = losses

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.losses}; stopped, and the last checkpoint is as it was: "
            "try a smaller --lr, or go on from there with --continue_train"
        )


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Run a program's main function and exit with what it returns.

    A user's mistake ends it with exit code 2 and its sentence on stderr, a diverged training and an error of the
    system (a full disk) with 1, Ctrl-C with 130; none of them with a traceback.
    """
    try:
        raise SystemExit(main() or 0)
    except UserError as error:
        message, code = f"error: {error}", 2
    except TrainingDiverged as error:
        message, code = f"error: {error}", 1
    except OSError as error:  # a full disk, a folder without permission: the error names the file
        message, code = f"error: {error}", 1
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    print(message, file=sys.stderr)
    raise SystemExit(code)
