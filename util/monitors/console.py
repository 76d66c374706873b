"""A progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from tqdm import tqdm


class Console:
    """A progress bar with the time left on a terminal; elsewhere a plain line for each report.

    Output that fails (a full disk, a closed pipe) is ignored.
    """

    def __init__(self, total: int, done: int, unit: str = "img", silent: bool = False) -> None:
        """`total` and `done`: images, of which `done` were processed in earlier sessions."""
        self.total, self.initial, self.done = total, done, done
        self.start = time.perf_counter()
        self.bar = tqdm(
            total=total,
            initial=done,
            unit=unit,
            smoothing=0.05,
            dynamic_ncols=True,
            disable=silent or not sys.stderr.isatty(),
        )

    def advance(self, count: int, title: str) -> None:
        """Count this many more; the title is shown before the bar."""
        self.done += count
        self.bar.set_description_str(title, refresh=False)
        self.bar.update(count)

    def report(self, title: str, numbers: Mapping[str, float]) -> None:
        """Show numbers: after the bar, or as a line of text."""
        if not self.bar.disable:
            self.bar.set_postfix(numbers, refresh=False)
            return
        values = "  ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        with suppress(OSError):
            print(f"{title}, {self.done:,} of {self.total:,} images, {self._time_left()} left: {values}", flush=True)

    def _time_left(self) -> str:
        elapsed = time.perf_counter() - self.start
        seconds = elapsed / max(1, self.done - self.initial) * (self.total - self.done)
        return tqdm.format_interval(seconds)

    def print_message(self, message: str) -> None:
        """Print a line on stderr without breaking the bar."""
        with suppress(OSError):
            tqdm.write(message, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()
