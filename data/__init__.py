"""Datasets, decoding, transforms and loaders. `create_dataset(opt)` gives the batches of --dataset_mode."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from util.registry import Registry

if TYPE_CHECKING:
    from data.loader import Loader

PREPROCESS = ("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none")
DATASETS = Registry("data", "dataset", "--dataset_mode", ("base_dataset", "BaseDataset"))


def create_dataset(opt: argparse.Namespace) -> Loader:
    """An iterable of batches; its length is the number of images in an epoch."""
    from data.loader import Loader
    from util.runtime.device import wants_pinned_memory

    return Loader(DATASETS.find(opt.dataset_mode)(opt), opt, pin_memory=wants_pinned_memory(opt.device))
