"""Options of --dataset_mode unaligned."""

from __future__ import annotations

from data.dataset_options import DatasetOptions
from util.arguments import TRAINING, ScopedParser


class UnalignedOptions(DatasetOptions):
    """Two folders of images, which may be pairs in testing."""

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        if is_train:
            return
        parser.add_argument_group("unaligned").add_argument(
            "--no_truth",
            action="store_true",
            scope=TRAINING,
            help="compute no scores, even if the images in testA and testB have the same names",
        )
