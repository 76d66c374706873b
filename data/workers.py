"""The worker processes of a loader: their signals, their end, and waiting for their batches."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from util.runtime.output import protect_output
from util.runtime.stop_signal import STOP_SIGNALS

MAX_WAIT = 300  # seconds for a batch; then the worker counts as hanging, for example because shared memory is full
CHECK_INTERVAL = 5  # seconds of waiting after which torch checks whether its workers are alive
PREFETCH = 4  # batches that a worker loads in advance, since decoding times vary


def start_worker(worker: int) -> None:
    """The first call in a worker: signals are for the main process, which saves before it ends its workers."""
    protect_output()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_with_program() -> None:
    """Have the remaining workers killed when the program ends: they ignore SIGTERM, so Python would wait forever."""
    atexit.register(_kill_workers)


def end_with(owner: object, batches: Iterator[Any]) -> None:
    """Have the workers of this iterator of a DataLoader killed when `owner` is deleted.

    If Python's garbage collector deletes them, the workers' queues may be closed before torch asks the workers to end:
    torch then waits for 10 seconds for each.
    """
    finalizer = weakref.finalize(owner, _kill, getattr(batches, "_workers", []))
    finalizer.atexit = False  # see end_with_program


def _kill(processes: list[multiprocessing.process.BaseProcess]) -> None:
    for process in processes:
        process.kill()


def _kill_workers() -> None:
    _kill(multiprocessing.active_children())


def report_deaths_at_next_batch() -> None:
    """Remove torch's signal handler, which raises the death of a worker anywhere, even within a training step."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def next_batch(batches: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """The next batch, or None. Waits up to MAX_WAIT in intervals, after each of which torch looks for dead workers."""
    for _ in range(MAX_WAIT // CHECK_INTERVAL - 1):
        try:
            return next(batches, None)
        except RuntimeError as error:
            if "timed out" not in str(error):
                raise
    return next(batches, None)


def available_cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
