"""Options of train.py: how a run is resumed, and which combinations are errors."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from options.base_options import BaseOptions
from options.parser import OptionParser, without_options
from options.train_arguments import add_train_options
from util.arguments import OnResume, Scope
from util.errors import UserError
from util.runtime import torchrun_job

EFFECTS = {
    OnResume.HARMLESS: "",
    OnResume.CHANGES_SCHEDULE: " from here on: learning rates follow the new schedule",
}
EFFECT = " from here on: an uninterrupted run would give other results"  # of any other change


class TrainOptions(BaseOptions):
    """Options of a training run."""

    is_train = True
    description = "Train a model on folders of images. The options of another model: --model NAME --help."
    usage = "%(prog)s --dataroot FOLDER [options]"
    examples = """examples:
  # train CycleGAN on the images in the folder horse2zebra
  python train.py --dataroot horse2zebra

  # resume that run from its last checkpoint
  python train.py --dataroot horse2zebra --continue_train

  # train another model, on larger batches
  python train.py --dataroot facades --model pix2pix --batch_size 4"""
    dropped: frozenset[str] = frozenset()  # options of --config to ignore, as torchrun has restarted the run

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """See BaseOptions. A process that torchrun has restarted (--max-restarts) resumes the run that it started."""
        argv = list(sys.argv[1:] if argv is None else argv)
        opt = super().parse(argv)
        if not (torchrun_job.is_restarted() and torchrun_job.has_mark(Path(opt.checkpoints_dir) / opt.name)):
            return opt
        print(f"restarted by torchrun: resuming {opt.name}", file=sys.stderr)
        scopes = self._parser_for(opt.model, opt.dataset_mode).scopes()
        self.dropped = frozenset(name for name, scope in scopes.items() if scope.new_run_only)
        return super().parse([*without_options(argv, self.dropped), "--continue_train"])

    def add_options(self, parser: OptionParser) -> None:
        super().add_options(parser)
        add_train_options(parser)

    def _usable(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name not in self.dropped}

    def _require_images(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        if not opt.dataroot:
            raise UserError("--dataroot is required: the folder of your images, which contains trainA and trainB")

    def _run_to_restore(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> str | None:
        return str(opt.name) if opt.continue_train else None

    def _is_restored(self, scope: Scope) -> bool:
        return scope.restored_on_resume

    def _check_changes(self, before: Mapping[str, Any], opt: argparse.Namespace, scopes: Mapping[str, Scope]) -> None:
        for name, value in before.items():
            flag, on_resume = f"--{name} {getattr(opt, name)}", scopes[name].on_resume
            if on_resume is OnResume.FIXED:
                raise UserError(
                    f"{flag}: the run has {value}, which can't change on resume: start a new run "
                    f"(--init_from {opt.name} loads the weights that fit)"
                )
            if on_resume is OnResume.NEEDS_FORCE and not opt.force:
                raise UserError(f"{flag}: the run has {value}; add --force to resume it with other images")
            print(f"note: {flag} overrides the run's {value}{EFFECTS.get(on_resume, EFFECT)}", file=sys.stderr)

    def _finish(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        super()._finish(opt, given)
        if opt.seed is None:
            opt.seed = secrets.randbelow(2**31)
        if opt.continue_train and opt.overwrite:
            raise UserError("--continue_train resumes the run and --overwrite deletes it: give only one")
        if opt.continue_train and opt.init_from:
            raise UserError("--continue_train resumes a run and --init_from starts a new one: give only one")
        if opt.force and not opt.continue_train:
            raise UserError("--force has an effect only with --continue_train")
        if opt.epoch != "latest" and not (opt.continue_train or opt.init_from):
            raise UserError(f"--epoch {opt.epoch} has an effect only with --continue_train or --init_from RUN")
        if opt.init_partial and not opt.init_from:
            raise UserError("--init_partial has an effect only with --init_from RUN_OR_FILE")
        last = opt.n_epochs + opt.n_epochs_decay
        if opt.epoch_count > last:
            raise UserError(
                f"--epoch_count {opt.epoch_count} is after the last epoch, {last} (--n_epochs plus --n_epochs_decay): "
                "there is nothing to train"
            )
