"""Learning-rate policies (--lr_policy): the factor of the initial learning rate in each epoch. Needs no torch."""

from __future__ import annotations

import argparse
import math

from util.registry import Catalog

LR_POLICIES = Catalog(
    "--lr_policy", {name: f"models.lr_policies:{name}" for name in ("linear", "step", "plateau", "cosine")}
)


def linear(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """Constant 1 for n_epochs, then linear decay towards 0 over n_epochs_decay (Zhu et al. 2017, section 7.1).

    `epoch` is the number of finished epochs of this run, `first_epoch` the number of its first epoch (--epoch_count).
    """
    decay_epochs = max(0, epoch + first_epoch - opt.n_epochs)
    return max(0.0, 1.0 - decay_epochs / (opt.n_epochs_decay + 1))


def step(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """Step decay: multiplied by 0.1 every lr_decay_iters epochs."""
    return float(0.1 ** (epoch // opt.lr_decay_iters))


def cosine(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """Cosine annealing from 1 to 0 over n_epochs, then 0 (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / max(1, opt.n_epochs))))


def plateau(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """Constant 1: Schedule reduces the learning rate when the loss stops decreasing."""
    return 1.0
