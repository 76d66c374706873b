"""Errors that end a program without a traceback, and their exit codes."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from util.runtime.output import protect_output


class UserError(ValueError):
    """A user's mistake: one sentence with the option or file, its value and the remedy."""


class TrainingDiverged(ArithmeticError):
    """A loss or a gradient became NaN or infinite, `steps_ago` steps before the last one. No weight changed since."""

    step: int | None = None  # of the run, if known

    def __init__(self, numbers: str, steps_ago: int = 0) -> None:
        super().__init__(numbers)
        self.numbers, self.steps_ago = numbers, steps_ago

    def __str__(self) -> str:
        where = "training" if self.step is None else f"step {self.step}"
        return (
            f"{where}: {self.numbers}; training stopped, and the last checkpoint is unchanged: resume from it with "
            "--continue_train and a smaller --lr; if the same step fails again, check the images of that step"
        )


class ProcessLost(RuntimeError):
    """Another process of this job, which this one needs, has ended."""


class CollectiveFailed(RuntimeError):
    """The library that connects the processes of this job failed in this process; the message gives its reason."""


# What torch says about memory on CPUs (Linux, Windows), on GPUs and in their libraries.
OUT_OF_MEMORY = re.compile(
    r"out of memory|can(?:'|no)t allocate memory|not enough memory|_STATUS_ALLOC_FAILED", re.IGNORECASE
)

# Torch's message about an operator that --deterministic does not allow.
NONDETERMINISTIC = re.compile(r"(\w+) does not have a deterministic implementation")
NO_DETERMINISTIC = "has no deterministic implementation for this device: use other networks, or omit the option"


def run_main(main: Callable[[], int | None], less_memory: str = "use smaller batches or images") -> NoReturn:
    """Run a program's main function and exit with what it returns. Output that fails does not matter.

    The exit code is 2 for a UserError, 1 for a diverged training, an OSError (a full disk), too little memory or a
    lost process, 130 for Ctrl-C; the message goes to stderr, without a traceback. `less_memory`: how to use less.
    """
    protect_output()
    try:
        code = main() or 0
        _shut_down(orderly=True)
        raise SystemExit(code)
    except UserError as error:
        message, code = f"error: {error}", 2
    except (TrainingDiverged, CollectiveFailed) as error:
        message, code = f"error: {error}", 1
    except ProcessLost as error:  # rank 0 prints it
        message, code = f"error: {error}" if is_main_by_environment() else "", 1
    except (OSError, MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            message, code = f"error: {_describe_memory(error)}: {less_memory}", 1
        elif operator := NONDETERMINISTIC.search(str(error)):
            message, code = f"error: --deterministic: {operator[1]} {NO_DETERMINISTIC}", 2
        elif isinstance(error, OSError):  # a full disk, missing permission: the error names the file
            message, code = f"error: {error}", 1
        else:
            raise
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    if message and not _is_printed_elsewhere(message):
        print(message, file=sys.stderr)
    _shut_down(orderly=False)
    raise SystemExit(code)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or bool(OUT_OF_MEMORY.search(str(error)))


def _describe_memory(error: BaseException) -> str:
    """Which memory ran out, and how much was asked for, if the exception says so."""
    text = str(error)
    on_gpu = any(name in text for name in ("CUDA", "MPS", "CUBLAS", "CUDNN", "HIP")) or "GPU" in text
    size = re.search(r"tried to allocate ([\d.]+ \w+)", text, re.IGNORECASE)
    return f"the {'GPU' if on_gpu else 'machine'} ran out of memory" + (f" (for {size[1]} more)" if size else "")


def _shut_down(orderly: bool) -> None:
    """Disconnect this process from the others of its job; see util.runtime.processes.shut_down."""
    if processes := sys.modules.get("util.runtime.processes"):  # not imported before torch is needed
        processes.shut_down(orderly)


def _is_printed_elsewhere(message: str) -> bool:
    """Whether another process of this job prints this message."""
    processes = sys.modules.get("util.runtime.processes")
    return processes.is_reported_elsewhere(message) if processes else not is_main_by_environment()


def is_main_by_environment() -> bool:
    """Whether this process is rank 0, or alone; known before the processes are connected."""
    return os.environ.get("RANK", "0") == "0"
