"""Options of test.py, most of which are restored from the run to test."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models import MODELS
from options import files
from options.base_options import BaseOptions, default_name
from options.common_arguments import DEFAULT_MODEL
from options.parser import OptionParser, TestHelpFormatter
from options.test_arguments import add_test_options
from options.train_options import TrainOptions
from util.arguments import TEST, TRAINING_NETWORK, OnResume, Scope
from util.errors import UserError

# Options with the scope TRAINING that change neither the images of a test nor their scores.
WITHOUT_EFFECT = frozenset(
    ("batch_size", "conv", "init_gain", "init_type", "no_flip", "on_bad_image", "serial_batches")
)


class TestOptions(BaseOptions):
    """Options of a test. Networks and preprocessing are restored from the run's options.json."""

    __test__ = False  # pytest: not a test
    is_train = False
    description = (
        "Translate a test set with a trained model. Model, networks and preprocessing are restored from the run.\n"
        "The options of another model: --model NAME --help."
    )
    usage = "%(prog)s [--dataroot FOLDER] [--name RUN] [options]"
    examples = """examples:
  # translate the test images in horse2zebra with the run trained on that folder
  python test.py --dataroot horse2zebra

  # test a run by its name, on up to 500 images
  python test.py --name horse2zebra_cycle_gan --num_test 500

  # translate a folder of photos from A to B
  python test.py --name horse2zebra_cycle_gan --model test --model_suffix _A --dataroot photos"""
    formatter = TestHelpFormatter

    def add_options(self, parser: OptionParser) -> None:
        super().add_options(parser)
        add_test_options(parser)

    def identity(self, opt: argparse.Namespace) -> dict[str, Any]:
        """All that the results of a test depend on, by name: a test with the same values repeats it."""
        unchanged = (OnResume.HARMLESS, OnResume.NOT_RESTORED)
        scopes = self._parser_for(opt.model, opt.dataset_mode).scopes()
        scopes = {name: scope for name, scope in scopes.items() if scope != TRAINING_NETWORK}
        names = [name for name, scope in scopes.items() if scope is TEST or scope.on_resume not in unchanged]
        return {
            "run": str(Path(opt.checkpoints_dir, opt.name).resolve()),
            "epoch": opt.epoch,
            "model": opt.model,
            "model_suffix": getattr(opt, "model_suffix", ""),
            "direction": getattr(opt, "direction", "AtoB"),
            "dataroot": str(Path(opt.dataroot).resolve()),
            "phase": opt.phase,
        } | {name: getattr(opt, name) for name in names if name not in WITHOUT_EFFECT}

    def _require_images(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        if not opt.dataroot and ("name" not in given or "dataroot" in given):
            raise UserError(
                "--dataroot or --name is required: the folder of your images, which contains testA and testB, or the "
                "run to test"
            )

    def _run_to_restore(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> str | None:
        checkpoints = Path(opt.checkpoints_dir)
        if not given.keys() & {"name", "suffix"}:
            return files.find_run(checkpoints, opt.dataroot, default_name(opt.dataroot, self._trained(opt.model)))
        files.require_run(checkpoints, opt.name)
        return str(opt.name)

    def _restored(self, checkpoints: Path, run: str, given: Mapping[str, Any]) -> dict[str, Any]:
        restored = super()._restored(checkpoints, run, given)
        if "dataroot" not in given:
            restored["dataroot"] = files.dataroot_of(checkpoints / run)
        return restored

    def _require_dataroot(self, opt: argparse.Namespace) -> None:
        """Raise UserError if neither the flag nor the run names the images."""
        if not opt.dataroot:
            raise UserError(f"--dataroot is required: run {opt.name} does not record the images it was trained on")

    def _is_restored(self, scope: Scope) -> bool:
        return scope.restored_at_test

    def _default_model(self, argv: Sequence[str], parser: OptionParser) -> str:
        """Help shows the usual model; a folder of weights alone is tested with --model test."""
        return DEFAULT_MODEL if {"-h", "--help"} & set(argv) else super()._default_model(argv, parser)

    def _training_options(self, model: str) -> set[str]:
        return set(TrainOptions()._parser_for(self._trained(model), None).options())

    @staticmethod
    def _trained(model: str) -> str:
        """The model that a run tested with `model` was usually trained as."""
        return model if MODELS.options(model).trainable else DEFAULT_MODEL

    def _finish(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        self._require_dataroot(opt)
        if opt.load_size is None:
            opt.load_size = opt.crop_size
        super()._finish(opt, given)
        self._resolve_extractor(opt, is_needed=opt.metrics is None)
