"""Models: their networks, losses and training steps. `create_model(opt)` builds the model of --model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from models.automatic import automatic_values
from util.arguments import with_values
from util.registry import Registry
from util.stage import Stage

if TYPE_CHECKING:
    from models.base_model import BaseModel

MODELS = Registry("models", "model", "--model", ("base_model", "BaseModel"))


def create_model(opt: argparse.Namespace, stage: Stage | None = None) -> BaseModel:
    """Build the model of --model, with its networks on the device. Call `model.setup(opt)` before using it.

    `stage` is by default that of the program: train.py trains, test.py tests. `opt` is not changed. Raises UserError if
    the model trains a network that is not registered.
    """
    if stage is not None:
        opt = with_values(opt, is_train=stage is Stage.TRAIN)
    opt = choose_automatically(opt)
    model: BaseModel = MODELS.find(opt.model)(opt)
    model.check_registered()
    return model


def choose_automatically(opt: argparse.Namespace) -> argparse.Namespace:
    """The options, with each `auto` replaced by its value on this device. `BaseModel.describe` prints these values."""
    return with_values(opt, **automatic_values(opt, MODELS.options(opt.model)))
