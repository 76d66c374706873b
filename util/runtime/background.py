"""Work that is done beside the main thread, a little of it at a time, whose failures are not lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MOST_WAITING = 32  # calls that may be under way: a bound for the memory of their pictures


class Background:
    """A few threads that make calls. `finish` waits for all; it, or a later `call`, raises what one of them raised."""

    def __init__(self, threads: int = 2) -> None:
        self._threads = ThreadPoolExecutor(threads)
        self._waiting: deque[Future[Any]] = deque()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have it called, at once or a little later; waits while too many calls are under way."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= MOST_WAITING):
            self._waiting.popleft().result()
        self._waiting.append(self._threads.submit(function, *arguments))
        return self._waiting[-1]

    def finish(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()
