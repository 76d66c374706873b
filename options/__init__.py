"""Every command line flag, its checks, and the saving and restoring of resolved options."""

from options.test_options import TestOptions
from options.train_options import TrainOptions

__all__ = ["TestOptions", "TrainOptions"]
