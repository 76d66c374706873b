"""Command line options: declaring, resolving, checking, saving and restoring them."""

from options.inference_options import load_run_options
from options.test_options import TestOptions
from options.train_options import TrainOptions

__all__ = ["TestOptions", "TrainOptions", "load_run_options"]
