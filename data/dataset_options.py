"""The base of every dataset's options. Needs no torch, so that --help and option errors come at once."""

from __future__ import annotations

import argparse

from util.arguments import ScopedParser


class DatasetOptions:
    """The options of a dataset.

    The class is in `data/NAME_options.py`. A dataset of your own may define these methods in the dataset's class
    instead.
    """

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        """Add the dataset's own options, and change defaults with parser.set_defaults."""

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        """Set options that follow from others; raise UserError for options that can't be combined."""
