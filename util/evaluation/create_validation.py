"""Create the validation of a training run: its images, its metrics, and the rule that chooses a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch

from util.errors import UserError
from util.evaluation.best import Rule
from util.evaluation.evaluator import evaluate
from util.evaluation.metric import Metric
from util.evaluation.metrics import select_metrics
from util.evaluation.selected import extractor_of, metrics_of
from util.evaluation.validation import CountingSink, NoValidation, ValidatedModel, Validation
from util.image_sizes import ImageSizes
from util.runtime.processes import processes
from util.runtime.stop_signal import StopSignal
from util.stage import Stage

TRIED = 2
"""Images that are translated at the start: of those that two folders have in common, a few may lack a ground truth."""
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
    fingerprint: Mapping[str, Any]

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...

    def summary(self) -> str: ...

    def require_sizes(self, sizes: ImageSizes, /) -> None: ...

    def first_batches(self, count: int, /) -> Sequence[Mapping[str, Any]]: ...


def create_validation(
    opt: argparse.Namespace, model: SizedModel, dataset: ValidationDataset | None
) -> Validation | NoValidation:
    """The validation of a run; `dataset` is None without validation images.

    Raises UserError for options that need validation images, for too few images, and for a --best_metric that can't
    score them.
    """
    if dataset is None:
        _refuse_options(opt)
        return NoValidation()
    dataset.require_sizes(model.image_sizes(Stage.VALIDATE))
    extractor = extractor_of(opt, model.device)
    names = [opt.best_metric] if opt.best_metric else _default_metrics(opt, dataset)
    candidates = select_metrics(names, extractor)
    chosen = _first_possible(opt, model, dataset, candidates)
    if chosen is None:
        _report_impossible(opt, candidates)
        return NoValidation()
    smallest = min((len(files) for files in dataset.dataset.files().values()), default=chosen.smallest_count)
    if smallest < chosen.smallest_count:
        raise UserError(
            f"validation by {chosen.label} needs {chosen.smallest_count} images, but there are {smallest}: use more "
            "images (--val_fraction), another --best_metric, or --val_freq 0"
        )
    metrics = metrics_of(opt, extractor)
    metrics += [] if chosen.key in {metric.key for metric in metrics} else [chosen]
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


def _default_metrics(opt: argparse.Namespace, dataset: ValidationDataset) -> list[str]:
    """The metrics to choose a checkpoint by, in order of preference: the first that can score the images is used."""
    sets = ["swd"] if opt.extractor == "none" else ["kid", "swd"]
    return ["mae", *sets] if getattr(dataset.dataset, "is_paired", False) else [*sets, "mae"]


def _first_possible(
    opt: argparse.Namespace, model: SizedModel, dataset: ValidationDataset, metrics: Sequence[Metric]
) -> Metric | None:
    """The first of these metrics that can score translations of the first images, None if none can.

    Raises UserError if they can't be read or translated: better now than after hours of training.
    """
    batches = dataset.first_batches(TRIED)
    if not batches:
        raise UserError(
            f"the first validation images in {opt.dataroot} can't be read, or the networks can't take them: replace "
            "them, or use --val_freq 0 to train without validation"
        )
    try:
        with model.validating():
            scores = evaluate(model, batches, metrics, CountingSink(), StopSignal()).scores
    except UserError:
        raise
    except Exception as error:  # a model of the user's own may be for training only
        raise UserError(
            f"--model {opt.model} can't translate the validation images ({type(error).__name__}: {error}): use "
            "--val_freq 0 to train without validation"
        ) from error
    return next((metric for metric in metrics if scores.has(metric)), None)


def _report_impossible(opt: argparse.Namespace, metrics: Sequence[Metric]) -> None:
    """Print a note that no metric can score the images; raise UserError if an option needs one that can."""
    reason = (
        f"the translations of --model {opt.model} can't be scored by {' or '.join(metric.label for metric in metrics)}:"
        " they lack a ground truth, lack real images to be compared with, or have other than 1, 3 or 4 channels"
    )
    for name in ("best_metric", "early_stop"):
        if getattr(opt, name):
            raise UserError(f"--{name} {getattr(opt, name)}: {reason}; use another --best_metric, or --val_freq 0")
    if processes().is_main:
        print(f"note: no validation, since {reason}; --best_metric sets another metric")


def _refuse_options(opt: argparse.Namespace) -> None:
    for name in ("best_metric", "early_stop", "val_group"):
        if getattr(opt, name):
            raise UserError(
                f"--{name} {getattr(opt, name)} needs validation images: put them into valA and valB in "
                f"{opt.dataroot}, or hold out a part of the training images with --val_fraction 0.1"
                + ("" if opt.val_freq else "; and omit --val_freq 0")
            )
