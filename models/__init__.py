"""Networks, losses and update order. `create_model(opt)` builds the model that --model names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from util.registry import Registry

if TYPE_CHECKING:
    from models.base_model import BaseModel

MODELS = Registry("models", "model", "--model", ("base_model", "BaseModel"))


def create_model(opt: argparse.Namespace) -> BaseModel:
    """The model of --model, its networks on the device. `model.setup(opt)` makes it ready to run.

    Raises UserError if the model trains a network that it has not registered.
    """
    model: BaseModel = MODELS.find(opt.model)(opt)
    model.check_registered()
    return model
