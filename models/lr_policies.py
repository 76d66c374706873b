"""The factors that --lr_policy multiplies initial learning rates by, as functions of the epoch. Needs no torch."""

from __future__ import annotations

import argparse
import math

from util.registry import Catalog

LR_POLICIES = Catalog(
    "--lr_policy", {name: f"models.lr_policies:{name}" for name in ("linear", "step", "plateau", "cosine")}
)


def linear(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """1 for n_epochs, then falling evenly towards 0 over n_epochs_decay (Zhu et al. 2017, section 7.1).

    `epoch` counts the finished epochs of this run, whose first has the number `first_epoch`.
    """
    falling = max(0, epoch + first_epoch - opt.n_epochs)
    return max(0.0, 1.0 - falling / (opt.n_epochs_decay + 1))


def step(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """0.1 to the number of full intervals of lr_decay_iters epochs."""
    return float(0.1 ** (epoch // opt.lr_decay_iters))


def cosine(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """From 1 to 0 over n_epochs, then 0 (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / max(1, opt.n_epochs))))


def plateau(opt: argparse.Namespace, epoch: int, first_epoch: int) -> float:
    """1: Schedule reduces the rate by the measured loss instead."""
    return 1.0
