"""The options that a run was made with, for documents about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models import MODELS
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.arguments import DOMAIN, NETWORK, PREPROCESSING, SCHEDULE, TRAINING, TRAINING_NETWORK

DESCRIPTIVE = (NETWORK, TRAINING_NETWORK, DOMAIN, PREPROCESSING, TRAINING, SCHEDULE)


def descriptive_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a run's options that describe its networks, images and training, without empty ones.

    Only those of the network for weights that were trained elsewhere. Nothing about the machine is among them: no
    paths, names of users or servers.
    """
    model, mode = (str(options.get(name, "")) for name in ("model", "dataset_mode"))
    is_trained_here = MODELS.options(model).trainable
    kind, wanted = (TrainOptions, DESCRIPTIVE) if is_trained_here else (TestOptions, (NETWORK,))
    scopes = kind()._parser_for(model, mode or None).scopes()
    return {
        name: value
        for name, value in options.items()
        if name in scopes
        and scopes[name] in wanted
        and value is not None
        and not (isinstance(value, str) and ("/" in value or "\\" in value))
    }
