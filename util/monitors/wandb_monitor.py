"""Losses and current images in Weights & Biases, for --use_wandb."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from util.errors import UserError
from util.monitors.base import print_line, progress, score_values

if TYPE_CHECKING:
    import numpy as np

CLOSE_SECONDS = 10.0  # how long the end of a run may wait for the upload


def is_requested(opt: argparse.Namespace) -> bool:
    return bool(getattr(opt, "use_wandb", False))


def create(
    opt: argparse.Namespace,
    history: Sequence[Mapping[str, float]],
    print_message: Callable[[str], None],
    scores: Sequence[Mapping[str, float]] = (),
) -> WandbMonitor:
    return WandbMonitor(opt.wandb_project_name, opt.name, vars(opt), history, print_message, scores)


class WandbMonitor:
    """A Monitor (see util.monitors.base) that logs to a wandb run; wandb's own process sends the data."""

    def __init__(
        self,
        project: str,
        name: str,
        config: Mapping[str, Any],
        history: Sequence[Mapping[str, float]] = (),
        print_message: Callable[[str], None] = print_line,
        scores: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Start a wandb run with these options, and log the earlier lines of losses.jsonl and metrics.jsonl.

        Raises UserError if wandb does not start.
        """
        import wandb  # the options have checked that it is installed

        try:
            self._run = wandb.init(project=project, name=name, config=dict(config))
        except wandb.Error as error:
            raise UserError(
                f"--use_wandb: wandb failed to start ({error}); run `wandb login`, or set WANDB_MODE=offline"
            ) from error
        self._wandb = wandb
        self._print_message, self._has_failed = print_message, False
        self._run.define_metric("*", step_metric="images")
        for record in history:
            self.add_losses(record)
        for record in scores:
            self.add_scores(record)

    def add_losses(self, record: Mapping[str, float]) -> None:
        self._log(record)

    def add_scores(self, record: Mapping[str, float]) -> None:
        self._log({f"validation/{name}": value for name, value in score_values(record).items()} | progress(record))

    def show_images(self, visuals: Mapping[str, np.ndarray], epoch: int, images: int) -> None:
        self._log({"epoch": epoch, "images": images}, visuals)

    def close(self) -> None:
        finishing = threading.Thread(target=self._run.finish, name="wandb", daemon=True)
        finishing.start()
        finishing.join(CLOSE_SECONDS)
        if finishing.is_alive():
            self._print_message("wandb: the upload is incomplete; `wandb sync` can finish it later")

    def _log(self, record: Mapping[str, float], visuals: Mapping[str, np.ndarray] | None = None) -> None:
        try:
            pictures = {
                name: self._wandb.Image(Image.fromarray(visual), caption=name)
                for name, visual in (visuals or {}).items()
            }
            self._run.log({**record, **pictures})
        except Exception as error:  # whatever fails inside wandb, training continues
            if not self._has_failed:
                self._has_failed = True
                self._print_message(f"wandb: logging failed ({error}); training continues")
