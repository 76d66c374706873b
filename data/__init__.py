"""Datasets, image files, transforms and loaders. `create_dataset(opt)` returns a loader for --dataset_mode."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from util.arguments import with_values
from util.errors import UserError
from util.registry import Registry
from util.stage import Stage

if TYPE_CHECKING:
    from data.loader import Loader

PREPROCESS = ("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none")
DATASETS = Registry("data", "dataset", "--dataset_mode", ("base_dataset", "BaseDataset"))


def create_dataset(opt: argparse.Namespace, stage: Stage | None = None, phase: str | None = None) -> Loader:
    """An iterable of batches; its length is the number of images in an epoch.

    `stage` is by default that of the program: train.py trains, test.py tests. `phase`, by default --phase, is the
    prefix of the folder names, so that a loader for valA and valB can exist beside the training loader. `opt` is not
    changed. Raises UserError for folders that are missing or contain no images.
    """
    from data import earlier_versions, held_out
    from data.loader import Loader
    from util.runtime.device import wants_pinned_memory

    stage = stage or earlier_versions.default_stage(opt)
    dataset = earlier_versions.create(DATASETS.find(opt.dataset_mode), opt, stage, phase or opt.phase)
    held_out.require_selection(dataset, opt, stage)
    return Loader(dataset, opt, pin_memory=wants_pinned_memory(opt.device))


def create_validation_dataset(opt: argparse.Namespace, training: Loader) -> Loader | None:
    """The loader of the validation images of a training run: those in valA and valB, or those that --val_fraction
    holds out; None if there are neither, or --val_freq is 0.

    Raises UserError if there are both, if the images can't be found, and if some of them are training images.
    """
    from data import held_out

    if opt.val_freq == 0:
        return None
    phase = held_out.validation_phase(DATASETS.find(opt.dataset_mode), opt)
    if not phase:
        return None
    try:
        loader = create_dataset(with_values(opt, max_dataset_size=None), Stage.VALIDATE, phase)
    except UserError as error:
        raise UserError(f"validation images: {error}; or train without validation, by --val_freq 0") from error
    held_out.require_disjoint(training.dataset, loader.dataset, opt)
    return loader
