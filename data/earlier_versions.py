"""Datasets that users wrote for earlier versions: they take `opt` alone and read `opt.is_train` and `opt.phase`."""

from __future__ import annotations

import argparse
import inspect
import warnings
from typing import TYPE_CHECKING, Any

from util.stage import Stage

if TYPE_CHECKING:
    from data.base_dataset import BaseDataset


def default_stage(opt: argparse.Namespace) -> Stage:
    """The stage of the program that parsed the options: train.py trains, test.py tests."""
    return Stage.TRAIN if opt.is_train else Stage.TEST


def missing_stage(opt: argparse.Namespace, old_call: str, new_call: str) -> Stage:
    """The default stage, with a warning that an object was created by the old call, which has no stage."""
    warn_renamed(old_call, new_call)
    return default_stage(opt)


def create(dataset_class: Any, opt: argparse.Namespace, stage: Stage, phase: str) -> BaseDataset:
    """A dataset of this class for a stage and a phase. Its `__init__` may take `opt` alone."""
    opt = options_of_stage(opt, stage, phase)
    if _takes_stage(dataset_class):
        dataset: BaseDataset = dataset_class(opt, stage=stage, phase=phase)
    else:
        dataset = dataset_class(opt)
        dataset.stage = stage
    return dataset


def options_of_stage(opt: argparse.Namespace, stage: Stage, phase: str) -> argparse.Namespace:
    """`opt` itself; for a stage or phase that is not the program's, a copy with the values that test.py would use."""
    changed: dict[str, Any] = {"is_train": stage is Stage.TRAIN, "phase": phase}
    if stage is not Stage.TRAIN and default_stage(opt) is Stage.TRAIN:
        changed["load_size"] = opt.crop_size
    options = vars(opt) | changed
    return opt if options == vars(opt) else argparse.Namespace(**options)


def warn_renamed(old: str, new: str) -> None:
    """Warn that an old name or call is now a new one; the warning points to the line that used it."""
    warnings.warn(f"{old} is now {new}", FutureWarning, stacklevel=3)


def _takes_stage(dataset_class: Any) -> bool:
    try:
        inspect.signature(dataset_class).bind(None, stage=Stage.TRAIN, phase="")
    except TypeError:
        return False
    return True
