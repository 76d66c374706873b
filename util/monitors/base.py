"""What a live monitor is: an object that shows the losses and images of a run while it trains."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

# The keys of a line of losses.jsonl that are not losses.
PROGRESS_KEYS = frozenset({"epoch", "step", "images", "seconds", "lr", "validation_set"})


class Monitor(Protocol):
    """Shows a run while it trains. Its methods never raise and never make the training wait."""

    def add_losses(self, record: Mapping[str, float]) -> None:
        """Show a line of losses.jsonl: epoch, step, images (seen by the run so far), seconds, lr, losses."""

    def show_images(self, visuals: Mapping[str, np.ndarray], epoch: int, images: int) -> None:
        """Show the current images, uint8 (H, W, 3) by name; the caller must not change the arrays afterwards."""

    def add_scores(self, record: Mapping[str, float]) -> None:
        """Show a line of metrics.jsonl: epoch, step, images, scores of the validation. A monitor may lack this."""

    def close(self) -> None:
        """Send what is still waiting, for a few seconds at most."""


def print_line(message: str) -> None:
    """Print a line on stderr."""
    print(message, file=sys.stderr, flush=True)


def score_values(record: Mapping[str, float]) -> dict[str, float]:
    """The scores in a line of metrics.jsonl, by direction and metric."""
    return {name: float(value) for name, value in record.items() if name not in PROGRESS_KEYS}


def progress(record: Mapping[str, float]) -> dict[str, float]:
    """The epoch, and the images seen, of a line of losses.jsonl or metrics.jsonl."""
    return {name: record[name] for name in ("epoch", "images")}


def loss_values(record: Mapping[str, float]) -> dict[str, float]:
    """The finite losses in a line of losses.jsonl, by name."""
    return {
        name: float(value)
        for name, value in record.items()
        if name not in PROGRESS_KEYS and isinstance(value, (int, float)) and math.isfinite(value)
    }
