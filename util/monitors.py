"""Live monitors: what the training loop tells of its progress, and the services that show it to someone.

Neither visdom nor wandb is imported here, so that a run without them neither needs nor waits for them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
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


def create_monitors(
    opt: argparse.Namespace,
    history: Sequence[Mapping[str, float]],
    say: Callable[[str], None] = print_line,
) -> list[Monitor]:
    """The monitors that the options ask for.

    `history` holds the earlier lines of losses.jsonl when a run is resumed: their curves are restored.
    `say` prints one line for the user from any thread; with a progress bar, give its own way to write.
    Raises UserError if --use_wandb cannot start.
    """
    monitors: list[Monitor] = []
    if opt.use_wandb:
        from util.wandb_monitor import WandbMonitor

        monitors.append(WandbMonitor(opt.wandb_project_name, opt.name, vars(opt), history, say))
    if opt.is_train and opt.display_id > 0:
        from util.visdom_monitor import VisdomMonitor, VisdomServer

        server = VisdomServer(opt.display_server, opt.display_port, opt.display_env)
        monitors.append(
            VisdomMonitor(
                server,
                opt.name,
                history,
                window=opt.display_id,
                columns=opt.display_ncols,
                image_size=opt.display_winsize,
                say=say,
            )
        )
    return monitors
