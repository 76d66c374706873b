"""Learning-rate policies, stepped once at the end of each epoch."""

from __future__ import annotations

import argparse
import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.architectures import LR_POLICIES


def lr_factor(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """What --lr is multiplied by after `epoch` epochs of this run, whose first has the number `first_epoch`.

    linear: 1 for n_epochs, then falling evenly towards 0 over n_epochs_decay (Zhu et al. 2017, section 7.1).
    step: a tenth every lr_decay_iters epochs. cosine: from 1 to 0 over n_epochs (Loshchilov and Hutter 2017,
    without restarts), then 0.
    """
    if opt.lr_policy == "linear":
        falling = max(0, epoch + first_epoch - opt.n_epochs)
        return max(0.0, 1.0 - falling / (opt.n_epochs_decay + 1))
    if opt.lr_policy == "step":
        return 0.1 ** (epoch // opt.lr_decay_iters)
    if opt.lr_policy == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / max(1, opt.n_epochs))))
    raise ValueError(f"lr_policy {opt.lr_policy!r} is none of {LR_POLICIES}")


class Schedule:
    """The rate and the momentum of an optimizer, as the options say; --lr_policy plateau by torch's scheduler.

    What it saves is how far it is. Going on with other options (--n_epochs, --lr, --beta1, --lr_policy), the
    optimizer gets at once what they give for the epoch that is going on.
    """

    def __init__(self, optimizer: Optimizer, opt: argparse.Namespace) -> None:
        self.optimizer, self.opt = optimizer, opt
        self.epoch = 0  # how many have ended in this run
        self.first_epoch: int = opt.epoch_count
        # plateau: a fifth when the measured loss stops falling for 5 epochs.
        self.plateau = ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)
        self._set_rate()

    def step(self, measure: float) -> None:
        """An epoch has ended, whose mean loss was `measure` (used by plateau)."""
        self.epoch += 1
        if self.opt.lr_policy == "plateau":
            self.plateau.step(measure)
        else:
            self._set_rate()

    def _set_rate(self) -> None:
        factor = 1.0 if self.opt.lr_policy == "plateau" else lr_factor(self.opt, self.epoch, self.first_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = self.opt.lr * factor
            group["betas"] = (self.opt.beta1, group["betas"][1])

    def state_dict(self) -> dict[str, Any]:
        state = {"epoch": self.epoch, "first_epoch": self.first_epoch, "policy": self.opt.lr_policy}
        rate = self.optimizer.param_groups[0]["lr"]
        return state | {"lr": self.opt.lr, "rate": rate, "plateau": self.plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.first_epoch = state["epoch"], state["first_epoch"]
        self._set_rate()
        if self.opt.lr_policy == state["policy"] == "plateau":
            self.plateau.load_state_dict(state["plateau"])
            for group in self.optimizer.param_groups:
                group["lr"] = state["rate"] if self.opt.lr == state["lr"] else state["rate"] * self.opt.lr / state["lr"]
