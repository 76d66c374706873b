"""Learning-rate schedules: they multiply the rates that an optimizer's parameter groups were built with."""

from __future__ import annotations

import argparse
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.lr_policies import LR_POLICIES


class Schedule:
    """Sets the learning rate of each parameter group to a factor times that group's own initial rate.

    The factor follows --lr_policy, stepped once at the end of each epoch, and in the first --lr_warmup steps a linear
    warm-up from 0 to 1 (Goyal et al. 2017, section 2.2). It works with any torch optimizer.
    A resumed run takes changed options (--lr, --beta1, --n_epochs, --lr_policy) into account for the epoch it is in.
    """

    def __init__(self, optimizer: Optimizer, opt: argparse.Namespace) -> None:
        self.optimizer, self.opt = optimizer, opt
        self.policy = LR_POLICIES.find(opt.lr_policy)
        self.warmup: int = getattr(opt, "lr_warmup", 0)
        self.epoch = 0  # finished epochs of this run
        self.first_epoch: int = opt.epoch_count
        self.initial: list[float] = [float(group["lr"]) for group in optimizer.param_groups]
        self.rates = self.initial  # without warm-up
        self.betas = [group.get("betas") for group in optimizer.param_groups]
        # A fifth when the measured loss has not fallen for more than 5 epochs.
        self.plateau = ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)
        self._set_rates(self._rates())

    def begin_step(self, number: int) -> None:
        """Set the rates of the training step `number`, counted from 1, if it belongs to the warm-up."""
        if number <= self.warmup:
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * number / self.warmup

    def step(self, measure: float) -> None:
        """End an epoch whose mean loss was `measure`, which the policy plateau looks at."""
        self.epoch += 1
        if self.opt.lr_policy != "plateau":
            self._set_rates(self._rates())
            return
        self._set_rates(self.rates)  # without the warm-up's factor
        self.plateau.step(measure)
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def _rates(self) -> list[float]:
        factor = self.policy(self.opt, self.epoch, self.first_epoch)
        return [rate * factor for rate in self.initial]

    def _set_rates(self, rates: list[float]) -> None:
        self.rates = rates
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        state = {"epoch": self.epoch, "first_epoch": self.first_epoch, "policy": self.opt.lr_policy}
        return state | {"initial": self.initial, "rates": self.rates, "plateau": self.plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """To be called after the optimizer's, which restores the rates and betas of the saved run."""
        self.epoch, self.first_epoch = state["epoch"], state["first_epoch"]
        for group, betas in zip(self.optimizer.param_groups, self.betas, strict=True):
            if betas is not None:
                group["betas"] = betas
        rates = self._rates()
        if self.opt.lr_policy == state["policy"] == "plateau":
            self.plateau.load_state_dict(state["plateau"])
            saved = zip(self.initial, state["initial"], state["rates"], strict=True)
            rates = [rate if now == then else rate * now / then for now, then, rate in saved]
        self._set_rates(rates)
