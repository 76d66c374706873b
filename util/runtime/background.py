"""Function calls in background threads, with a bound on pending calls, and with their exceptions re-raised."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MAX_PENDING = 32  # pending calls: bounds the memory of the images that they hold


class Background:
    """A thread pool. `finish`, or a later `call`, re-raises the exception of a call that failed."""

    def __init__(self, threads: int = 2) -> None:
        self._threads = ThreadPoolExecutor(threads)
        self._pending: deque[Future[Any]] = deque()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Submit a call to the thread pool; blocks while MAX_PENDING calls are pending."""
        while self._pending and (self._pending[0].done() or len(self._pending) >= MAX_PENDING):
            self._pending.popleft().result()
        self._pending.append(self._threads.submit(function, *arguments))
        return self._pending[-1]

    def finish(self) -> None:
        """Wait for all pending calls."""
        while self._pending:
            self._pending.popleft().result()
