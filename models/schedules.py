"""Learning-rate policies, stepped once at the end of each epoch."""

from __future__ import annotations

import argparse
import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from models.architectures import LR_POLICIES


def lr_factor(opt: argparse.Namespace, epoch: int) -> float:
    """What --lr is multiplied by after `epoch` epochs of this run (0 in the first one).

    linear: 1 for n_epochs, then falling evenly towards 0 over n_epochs_decay (Zhu et al. 2017, section 7.1).
    step: a tenth every lr_decay_iters epochs. cosine: from 1 to 0 over n_epochs (Loshchilov and Hutter 2017,
    without restarts), then 0.
    """
    if opt.lr_policy == "linear":
        return 1.0 - max(0, epoch + opt.epoch_count - opt.n_epochs) / (opt.n_epochs_decay + 1)
    if opt.lr_policy == "step":
        return 0.1 ** (epoch // opt.lr_decay_iters)
    if opt.lr_policy == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / max(1, opt.n_epochs))))
    raise ValueError(f"lr_policy {opt.lr_policy!r} is none of {LR_POLICIES}")


def create_scheduler(optimizer: Optimizer, opt: argparse.Namespace) -> LambdaLR | ReduceLROnPlateau:
    """The scheduler of --lr_policy. plateau: a fifth when the measured loss stops falling for 5 epochs."""
    if opt.lr_policy == "plateau":
        return ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)
    return LambdaLR(optimizer, lambda epoch: lr_factor(opt, epoch))
