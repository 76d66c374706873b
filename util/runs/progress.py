"""The counters of a training run."""

from __future__ import annotations

import time
from typing import Any


class Progress:
    """Epoch, images, steps and seconds of a run; part of its checkpoint, attribute by attribute."""

    def __init__(self, first_epoch: int = 1) -> None:
        self.first_epoch = first_epoch  # above 1 for a run that started from weights alone, with --epoch_count
        self.epoch = first_epoch  # the current one
        self.images_in_epoch = 0
        self.images = 0
        self.step = 0
        self.seconds = 0.0  # of training, over all sessions of the run
        self.last_count = 0  # images of the last step
        self.saved_at = 0.0  # `seconds` at the last save
        self.saved_as: list[str] = []  # the names of the weights in the last save
        self.best = ""  # the content of best.json
        self._clock = time.perf_counter()

    def count(self, images: int) -> None:
        """Count a training step of this many images."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        self.step += 1
        self.images += images
        self.images_in_epoch += images
        self.last_count = images

    def restart_clock(self) -> None:
        """Leave out of `seconds` the time since the last step, such as that of a validation."""
        self._clock = time.perf_counter()

    def due(self, every: int) -> bool:
        """Whether the last step passed a multiple of `every` images; never for 0."""
        return every > 0 and self.images // every > (self.images - self.last_count) // every

    def ended(self, every: int) -> bool:
        """Whether the number of epochs that ended is a multiple of `every`; never for 0."""
        return every > 0 and (self.epoch - 1) % every == 0

    def end_epoch(self) -> None:
        """Start the next epoch."""
        self.epoch += 1
        self.images_in_epoch = 0

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._clock = time.perf_counter()
