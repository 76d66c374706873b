"""What a live monitor is: something that the training loop tells of its progress, and that shows it to someone."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Protocol

import numpy as np

# The keys of a line of losses.jsonl that tell where the run stands; every other number in it is a loss.
PROGRESS_KEYS = frozenset({"epoch", "step", "images", "seconds", "lr"})


class Monitor(Protocol):
    """Shows a run to someone while it trains. Never raises and never makes the training wait."""

    def add_losses(self, record: Mapping[str, float]) -> None:
        """A line of losses.jsonl: epoch, step, images (seen since the run began), seconds, lr, losses."""

    def show_images(self, visuals: Mapping[str, np.ndarray], epoch: int, images: int) -> None:
        """Take the current images, uint8 (H, W, 3) by name; the arrays must not change afterwards."""

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""


def print_line(message: str) -> None:
    """Say one line on stderr."""
    print(message, file=sys.stderr, flush=True)


def loss_values(record: Mapping[str, float]) -> dict[str, float]:
    """The finite losses in a line of losses.jsonl, by name."""
    return {
        name: float(value)
        for name, value in record.items()
        if name not in PROGRESS_KEYS and isinstance(value, (int, float)) and math.isfinite(value)
    }
