"""The one kind of error that is the user's to mend, and what a main program makes of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(ValueError):
    """A mistake in what the user gave: one sentence with the option or file, its value and the remedy."""


def fail(message: str) -> NoReturn:
    """End the program as a user's mistake ends it: the sentence on stderr, exit code 2, no traceback."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Run a program's main function and exit with what it returns; a UserError ends it by `fail`."""
    try:
        raise SystemExit(main() or 0)
    except UserError as error:
        fail(str(error))
