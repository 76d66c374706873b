"""Models: their networks, losses and training steps. `create_model(opt)` builds the model of --model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from util.registry import Registry

if TYPE_CHECKING:
    from models.base_model import BaseModel

MODELS = Registry("models", "model", "--model", ("base_model", "BaseModel"))


def create_model(opt: argparse.Namespace) -> BaseModel:
    """Build the model of --model, with its networks on the device. Call `model.setup(opt)` before using it.

    Raises UserError if the model trains a network that is not registered.
    """
    model: BaseModel = MODELS.find(opt.model)(opt)
    model.check_registered()
    return model
