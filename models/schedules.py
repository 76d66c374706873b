"""Learning-rate schedules: they multiply the initial learning rate of each parameter group of an optimizer."""

from __future__ import annotations

import argparse
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.lr_policies import LR_POLICIES


class Schedule:
    """Sets the learning rate of each parameter group to a factor times that group's own initial rate.

    The factor follows --lr_policy, updated at the end of each epoch, and a linear warm-up from 0 to 1 in the first
    --lr_warmup steps (Goyal et al. 2017, section 2.2). Works with any torch optimizer.
    A resumed run applies changed options (--lr, --beta1, --n_epochs, --lr_policy) from its current epoch on.
    """

    def __init__(self, optimizer: Optimizer, opt: argparse.Namespace) -> None:
        self.optimizer, self.opt = optimizer, opt
        self.policy = LR_POLICIES.find(opt.lr_policy)
        self.warmup: int = getattr(opt, "lr_warmup", 0)
        self.epoch = 0  # finished epochs of this run
        self.first_epoch: int = opt.epoch_count
        self.initial: list[float] = [float(group["lr"]) for group in optimizer.param_groups]
        self.rates = self.initial  # without warm-up
        # Settings of this run, which override those in the state of an optimizer. A rate may be a tensor on the device.
        self.settings: list[dict[str, Any]] = [
            {name: group[name] for name in ("betas", "lr", "capturable") if name in group}
            for group in optimizer.param_groups
        ]
        # Multiplies by 0.2 when the metric has not decreased by 1 % for more than 5 epochs.
        self.plateau = ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)
        self._set_rates(self._rates())

    def begin_step(self, number: int) -> None:
        """Set the learning rates for training step `number`, counted from 1, if it is in the warm-up."""
        if number <= self.warmup:
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                _set_rate(group, rate * number / self.warmup)

    def step(self, metric: float) -> None:
        """Set the learning rates for the next epoch. `metric`: mean loss of the finished epoch, for policy plateau."""
        self.epoch += 1
        if self.opt.lr_policy != "plateau":
            self._set_rates(self._rates())
            return
        self._set_rates(self.rates)  # removes the warm-up factor
        self.plateau.step(metric)
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def _rates(self) -> list[float]:
        factor = self.policy(self.opt, self.epoch, self.first_epoch)
        return [rate * factor for rate in self.initial]

    def _set_rates(self, rates: list[float]) -> None:
        self.rates = rates
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            _set_rate(group, rate)

    def state_dict(self) -> dict[str, Any]:
        state = {"epoch": self.epoch, "first_epoch": self.first_epoch, "policy": self.opt.lr_policy}
        return state | {"initial": self.initial, "rates": self.rates, "plateau": self.plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Call after the optimizer's load_state_dict, which overwrites learning rates and betas with the saved ones."""
        self.epoch, self.first_epoch = state["epoch"], state["first_epoch"]
        for group, settings in zip(self.optimizer.param_groups, self.settings, strict=True):
            group.update(settings)
        rates = self._rates()
        if self.opt.lr_policy == state["policy"] == "plateau":
            self.plateau.load_state_dict(state["plateau"])
            saved = zip(self.initial, state["initial"], state["rates"], strict=True)
            rates = [rate if old in (new, 0) else rate * new / old for new, old, rate in saved]
        self._set_rates(rates)


def _set_rate(group: dict[str, Any], rate: float) -> None:
    """Set the learning rate of a parameter group; in place if it is a tensor, which a CUDA graph reads."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
