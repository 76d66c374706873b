"""Create the validation of a training run: its images, its metrics, and the rule that chooses a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch

from util.errors import UserError
from util.evaluation.best import Rule
from util.evaluation.metric import Needs
from util.evaluation.selected import metrics_of
from util.evaluation.validation import NoValidation, ValidatedModel, Validation
from util.image_sizes import ImageSizes
from util.runtime.processes import processes
from util.stage import Stage

FEW_IMAGES = 50
"""With 50 images, KID x1000 (Lite0) of two samples of the same domain varies by 27 (docs/evaluation.md)."""


class SizedModel(ValidatedModel, Protocol):
    """What creating a validation needs of a model."""

    device: torch.device

    def image_sizes(self, stage: Stage, /) -> ImageSizes: ...


class ValidationDataset(Protocol):
    """What creating a validation needs of the loader of validation images."""

    dataset: Any
    print_message: Any

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...

    def summary(self) -> str: ...

    def require_sizes(self, sizes: ImageSizes, /) -> None: ...


def create_validation(
    opt: argparse.Namespace, model: SizedModel, dataset: ValidationDataset | None
) -> Validation | NoValidation:
    """The validation of a run; `dataset` is None without validation images.

    Raises UserError for options that need validation images, and for too few images.
    """
    if dataset is None:
        _refuse_options(opt)
        return NoValidation()
    dataset.require_sizes(model.image_sizes(Stage.VALIDATE))
    name = opt.best_metric or _default_metric(opt, dataset)
    metrics = metrics_of(opt, model.device, also=[name])
    (chosen,) = (metric for metric in metrics if metric.name == name)
    smallest = min((len(files) for files in dataset.dataset.files().values()), default=chosen.smallest_count)
    if smallest < chosen.smallest_count:
        raise UserError(
            f"validation by {chosen.label} needs {chosen.smallest_count} images, but there are {smallest}: use more "
            "images (--val_fraction), another --best_metric, or --val_freq 0"
        )
    if chosen.needs is Needs.PAIR and not getattr(dataset.dataset, "has_truth", True):
        raise UserError(
            f"--best_metric {name} needs ground truth, but the names of the validation images do not match: choose "
            "another one, such as kid or swd"
        )
    rule = Rule(chosen)
    if processes().is_main:
        interval = f"every {opt.val_freq} epochs" if opt.val_freq > 1 else "after every epoch"
        held_out = f", held out by --val_fraction {opt.val_fraction:g}" if opt.val_fraction else ""
        summary, *notes = dataset.summary().splitlines()
        print(f"validation {interval}: {summary}{held_out}; best checkpoint: {rule.describe()}")
        if smallest < FEW_IMAGES:
            print(
                f"note: with only {smallest} validation images, chance can decide which checkpoint is the best: use "
                f"{FEW_IMAGES} or more if you can"
            )
        for note in notes:
            print(note)
    return Validation(opt, model, dataset, metrics, rule)


def _default_metric(opt: argparse.Namespace, dataset: ValidationDataset) -> str:
    if getattr(dataset.dataset, "is_paired", False):
        return "mae"
    return "swd" if opt.extractor == "none" else "kid"


def _refuse_options(opt: argparse.Namespace) -> None:
    for name in ("best_metric", "early_stop", "val_group"):
        if getattr(opt, name):
            raise UserError(
                f"--{name} {getattr(opt, name)} needs validation images: put them into valA and valB in "
                f"{opt.dataroot}, or hold out a part of the training images with --val_fraction 0.1"
                + ("" if opt.val_freq else "; and omit --val_freq 0")
            )
