"""Prepares the process of train.py or test.py: algorithms, device, seed and precision."""

from __future__ import annotations

import argparse

from util.arguments import with_values
from util.runtime.determinism import select_algorithms
from util.runtime.device import get_device
from util.runtime.precision import resolve_precision
from util.runtime.processes import processes
from util.runtime.random_state import seed_everything


def prepare(opt: argparse.Namespace, *, trains: bool) -> argparse.Namespace:
    """Prepare the process for these options; returns them with the seed of rank 0 and without `auto` precision.

    Raises UserError if the device is not available.
    """
    # Before the GPU computes anything. In tests, images may have many sizes.
    select_algorithms(deterministic=opt.deterministic, fixed_sizes=trains and "crop" in opt.preprocess)
    seed = processes().broadcast(opt.seed)
    seed_everything(seed)
    return with_values(opt, seed=seed, precision=resolve_precision(opt.precision, get_device(opt.device)))
