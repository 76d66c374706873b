"""Losses and current images in Weights & Biases, for --use_wandb."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from util.errors import UserError
from util.monitors.base import print_line

CLOSE_SECONDS = 10.0  # how long the end of a run may wait for the upload


class WandbMonitor:
    """A Monitor (see util.monitors.base) that logs to one wandb run; wandb's own process does the sending."""

    def __init__(
        self,
        project: str,
        name: str,
        config: Mapping[str, Any],
        history: Iterable[Mapping[str, float]] = (),
        say: Callable[[str], None] = print_line,
    ) -> None:
        """Start a wandb run with these options; log `history`, the earlier lines of losses.jsonl, first.

        Raises UserError if wandb does not start.
        """
        import wandb  # the options have seen that it is installed

        try:
            self._run = wandb.init(project=project, name=name, config=dict(config))
        except wandb.Error as error:
            raise UserError(
                f"--use_wandb: wandb does not start ({error}); run `wandb login`, or set WANDB_MODE=offline"
            ) from error
        self._wandb = wandb
        self._say, self._told = say, False
        self._run.define_metric("*", step_metric="images")
        for record in history:
            self.add_losses(record)

    def add_losses(self, record: Mapping[str, float]) -> None:
        self._log(record)

    def show_images(self, visuals: Mapping[str, np.ndarray], epoch: int, images: int) -> None:
        self._log({"epoch": epoch, "images": images}, visuals)

    def close(self) -> None:
        finishing = threading.Thread(target=self._run.finish, name="wandb", daemon=True)
        finishing.start()
        finishing.join(CLOSE_SECONDS)
        if finishing.is_alive():
            self._say("wandb: the upload is not done yet; `wandb sync` can send later what is missing")

    def _log(self, record: Mapping[str, float], visuals: Mapping[str, np.ndarray] | None = None) -> None:
        try:
            pictures = {
                name: self._wandb.Image(Image.fromarray(visual), caption=name)
                for name, visual in (visuals or {}).items()
            }
            self._run.log({**record, **pictures})
        except Exception as error:  # whatever breaks inside wandb, training goes on
            if not self._told:
                self._told = True
                self._say(f"wandb: does not take what it is given ({error}); training goes on")
