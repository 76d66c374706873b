"""A few training images that are shown after every epoch, to compare epochs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from data import DATASETS, earlier_versions
from data.base_dataset import MAX_DRAWS, BaseDataset
from data.collate import collate
from util.arguments import with_values
from util.image_sizes import ImageSizes
from util.stage import Stage

MOST_LISTED = 1000  # files of a folder to choose from


def fixed_batches(opt: argparse.Namespace, phase: str, count: int, sizes: ImageSizes) -> list[dict[str, Any]]:
    """Up to `count` batches of one sample each: images of a phase that the seed determines, without augmentation.

    They are loaded as for validation, and unreadable ones are skipped.
    """
    limit = min(MOST_LISTED, opt.max_dataset_size or MOST_LISTED)
    opt = with_values(opt, max_dataset_size=limit, val_images=None)  # a limit of validation images
    dataset = earlier_versions.create(DATASETS.find(opt.dataset_mode), opt, Stage.VALIDATE, phase)
    if isinstance(dataset, BaseDataset):
        dataset.require_sizes(sizes)
    order = np.random.default_rng((opt.seed, len(dataset))).permutation(len(dataset))
    return load_batches(dataset, order.tolist(), count)


def load_batches(dataset: BaseDataset, indices: Iterable[int], count: int) -> list[dict[str, Any]]:
    """Up to `count` batches of one sample each, of the first of these indices whose images can be read."""
    batches: list[dict[str, Any]] = []
    for index in islice(indices, MAX_DRAWS):
        if len(batches) == count:
            break
        batch = collate([dataset[1, index]])
        for report in ("unreadable", "transparent", "profile", "note", "missing"):
            del batch[report]
        if batch:
            batches.append(batch)
    return batches
