"""What every model says of its options. Needs no torch, so that `--help` and mistakes in options are answered fast."""

from __future__ import annotations

import argparse
from typing import Any


class ModelOptions:
    """The options of a model.

    They stand in `models/NAME_options.py`, or, for a model of your own, in the model's class itself, which is then
    imported with all that it needs.
    """

    trainable = True  # whether train.py takes it

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        """Add the model's own flags, and change defaults with parser.set_defaults."""

    @staticmethod
    def dependent_defaults(opt: argparse.Namespace) -> dict[str, Any]:
        """Defaults, by name, that follow from the other options; what is given beside those wins over them."""
        return {}

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        """Settle what follows from other options; raise UserError for options that don't go together."""
