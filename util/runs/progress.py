"""How far a training run is, and how it says so on the console."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tqdm import tqdm


class Progress:
    """The counters of a run; part of its checkpoint."""

    def __init__(self, first_epoch: int = 1) -> None:
        self.first_epoch = first_epoch  # above 1 for a run that began with weights of another
        self.epoch = first_epoch  # the one that is going on
        self.images_in_epoch = 0
        self.images = 0
        self.step = 0
        self.seconds = 0.0  # of training, all sessions of the run together
        self.last_count = 0
        self.saved_at = 0.0  # `seconds` at the last save
        self.saved_as: list[str] = []  # the names that the weights were given then
        self._clock = time.perf_counter()

    def count(self, images: int) -> None:
        """A step with so many images has been trained."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        self.step += 1
        self.images += images
        self.images_in_epoch += images
        self.last_count = images

    def due(self, every: int) -> bool:
        """Whether the last step passed a multiple of `every` images."""
        return self.images // every > (self.images - self.last_count) // every

    def end_epoch(self) -> None:
        """The epoch is complete: the next one begins."""
        self.epoch += 1
        self.images_in_epoch = 0

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._clock = time.perf_counter()


class Console:
    """A progress bar with the time left on a terminal; plain lines, one for each report, elsewhere."""

    def __init__(self, total: int, done: int, unit: str = "img", silent: bool = False) -> None:
        self.total, self.begun, self.done = total, done, done
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
        """So many more are done; the title stands in front of the bar."""
        self.done += count
        self.bar.set_description_str(title, refresh=False)
        self.bar.update(count)

    def report(self, title: str, numbers: Mapping[str, float]) -> None:
        """Show numbers: behind the bar, or as a line of text."""
        if not self.bar.disable:
            self.bar.set_postfix(numbers, refresh=False)
            return
        values = "  ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        with suppress(OSError):  # the file that it goes to may be on a full disk, or its reader gone
            print(f"{title}, {self.done:,} of {self.total:,} images, {self._time_left()} left: {values}", flush=True)

    def _time_left(self) -> str:
        elapsed = time.perf_counter() - self.start
        seconds = elapsed / max(1, self.done - self.begun) * (self.total - self.done)
        return tqdm.format_interval(seconds)

    def say(self, message: str) -> None:
        """A sentence on stderr, which does not disturb the bar."""
        with suppress(OSError):
            tqdm.write(message, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()
