"""The flags of test.py, and what it takes over from the run it tests."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import MODELS
from options import files
from options.base_options import DEFAULT_MODEL, BaseOptions, usual_name
from options.parser import OptionParser
from options.train_options import TrainOptions
from util.arguments import number
from util.errors import UserError


class TestOptions(BaseOptions):
    """Options of a test. What belongs to the networks comes from the run's options.json."""

    __test__ = False  # pytest: not a test
    is_train = False
    description = "Translate a test set with a trained model. What belongs to the networks is taken from the run."

    def add_options(self, parser: OptionParser) -> None:
        super().add_options(parser)
        group = parser.add_argument_group("testing")
        group.add_argument(
            "--phase",
            default="test",
            help="how the names of the folders that --dataset_mode reads begin (unaligned: testA and testB)",
        )
        group.add_argument("--results_dir", default="./results", help="where the gallery goes")
        group.add_argument("--num_test", type=number(int, least=1), default=50, metavar="N", help="how many images")
        group.add_argument("--eval", action="store_true", help="dropout off, batch norm by its running statistics")
        group.add_argument(
            "--aspect_ratio",
            type=number(float, above=0),
            default=1.0,
            help="width / height factor of saved images",
        )
        parser.set_defaults(model="test", load_size=None, seed=0)

    def _run_to_restore(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> str | None:
        if not given.keys() & {"name", "suffix"}:
            usual = usual_name(opt.dataroot, self._trained(opt.model))
            return files.find_run(Path(opt.checkpoints_dir), opt.dataroot, usual)
        checkpoints = Path(opt.checkpoints_dir)
        if not (checkpoints / opt.name).is_dir():
            raise UserError(
                f"--name {opt.name}: there is no such run in --checkpoints_dir {checkpoints}: "
                f"{files.which_runs(checkpoints)}"
            )
        return str(opt.name)

    def _restorable(self, parser: OptionParser) -> set[str]:
        return parser.restored

    def _training_options(self, model: str) -> set[str]:
        return set(TrainOptions()._parser_for(self._trained(model), None).options())

    @staticmethod
    def _trained(model: str) -> str:
        """The model that a run to be tested by this one was trained as, usually."""
        return model if MODELS.options(model).trainable else DEFAULT_MODEL

    def _settle(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        if opt.load_size is None:
            opt.load_size = opt.crop_size
        super()._settle(opt, given)
