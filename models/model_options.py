"""The base of every model's options. Needs no torch, so that --help and option errors come at once."""

from __future__ import annotations

import argparse
from typing import Any

from util.arguments import ScopedParser


class ModelOptions:
    """The options of a model.

    The class is in `models/NAME_options.py`. A model of your own may define these methods in the model's class instead.
    """

    trainable = True  # whether train.py accepts the model

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        """Add the model's own options, change defaults with parser.set_defaults, scopes with parser.set_scopes."""

    @staticmethod
    def dependent_defaults(opt: argparse.Namespace) -> dict[str, Any]:
        """Defaults, by name, that depend on other options; values that the user gives override them."""
        return {}

    @staticmethod
    def automatic_values(opt: argparse.Namespace, device_type: str) -> dict[str, str]:
        """The values that `auto` stands for, by option of the model, on this type of device (cpu, cuda or mps)."""
        return {}

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        """Set options that follow from others; raise UserError for options that can't be combined."""
