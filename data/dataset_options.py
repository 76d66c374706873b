"""What every dataset says of its options. Needs no torch, so that `--help` and mistakes in options are fast."""

from __future__ import annotations

import argparse


class DatasetOptions:
    """The options of a dataset.

    They stand in `data/NAME_options.py`, or, for a dataset of your own, in the dataset's class itself, which is then
    imported with all that it needs.
    """

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        """Add the dataset's own flags, and change defaults with parser.set_defaults."""

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        """Settle what follows from other options; raise UserError for options that don't go together."""
