"""Options of train.py: how a run is resumed, and which combinations are errors."""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.fingerprint import difference
from options import files
from options.base_options import TRAIN, BaseOptions
from options.parser import OptionParser, without_options
from options.train_arguments import add_train_options
from util.arguments import (
    CALL,
    DISPLAY,
    HELD_OUT,
    MACHINE,
    NETWORK,
    START_CALL,
    TRAINING_NETWORK,
    OnResume,
    Scope,
)
from util.command import flag as with_value
from util.command import path_from_here, script_command
from util.errors import UserError, is_main_by_environment
from util.runs.initial_source import find_source
from util.runs.provenance import changed_versions
from util.runtime import torchrun_job

EFFECTS = {
    OnResume.HARMLESS: "",
    OnResume.CHANGES_SCHEDULE: " from here on: learning rates follow the new schedule",
}
# How runs were trained before these options existed; such runs are resumed with these values.
EARLIER_VALUES = {"joint_passes": "off", "cuda_graph": "off"}
RECIPE = "recipes/modern.yaml"
NOT_LEARNING = (DISPLAY, MACHINE, CALL, START_CALL, HELD_OUT)  # scopes of options that no recipe is about
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
    differences: Sequence[str] = ()  # network options that differ from those of the run of --init_from
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

    def print_notes(self, opt: argparse.Namespace, fingerprint: Mapping[str, Any]) -> None:
        """Print what is worth knowing when a run starts: why it may differ from another one, and a better recipe."""
        if not is_main_by_environment():
            return
        if versions := changed_versions(self.source_run.get("versions", {}), opt.device):
            print(f"note: results may differ in the last bits from those of {versions}", file=sys.stderr)
        if changed := difference(self.source_run.get("dataset", fingerprint), fingerprint):
            print(f"note: the dataset differs from that of --config: {changed}", file=sys.stderr)
        if self._has_only_defaults(opt):
            recipe = shlex.quote(path_from_here(RECIPE))
            print(f"note: training with the defaults, those of 2017; recommended: --config {recipe}", file=sys.stderr)

    def _has_only_defaults(self, opt: argparse.Namespace) -> bool:
        """Whether a new run has neither a recipe nor an option that affects what it learns."""
        parser = self._parser_for(opt.model, opt.dataset_mode)
        scopes = parser.scopes()
        own = [name for name in parser.given(self.argv) if scopes[name] not in NOT_LEARNING]
        return not (own or opt.config or opt.continue_train)

    def _usable(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name not in self.dropped}

    def _require_images(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        if opt.dataroot or (opt.continue_train and "name" in given and "dataroot" not in given):
            return
        if opt.continue_train:
            raise UserError("--dataroot or --name is required: the folder of your images, or the run to resume")
        raise UserError("--dataroot is required: the folder of your images, which contains trainA and trainB")

    def _run_to_restore(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> str | None:
        if opt.continue_train and "dataroot" not in given:
            files.require_run(Path(opt.checkpoints_dir), opt.name)
        return str(opt.name) if opt.continue_train else None

    def _restored(self, checkpoints: Path, run: str, given: Mapping[str, Any]) -> dict[str, Any]:
        restored = EARLIER_VALUES | super()._restored(checkpoints, run, given)
        if "dataroot" not in given:
            restored["dataroot"] = _nearest(restored.get("dataroot"), files.dataroot_of(checkpoints / run))
        return restored

    def _is_restored(self, scope: Scope) -> bool:
        return scope.restored_on_resume

    def _architecture_to_copy(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> dict[str, Any]:
        if not opt.init_from:
            return {}
        folder = find_source(opt.init_from, Path(opt.checkpoints_dir))
        copied = self._read_options(folder, given, lambda scope: scope in (NETWORK, TRAINING_NETWORK))
        if "model" not in copied:  # another --model, which brings its own defaults
            own, common = self._parser_for(opt.model, opt.dataset_mode), self._base_parser(add_help=False)
            copied = {name: copied[name] for name in copied if own.get_default(name) == common.get_default(name)}
        return copied

    def _note_copies(
        self,
        opt: argparse.Namespace,
        copied: Mapping[str, Any],
        overridden: Mapping[str, Any],
        without: argparse.Namespace,
    ) -> None:
        self.differences = [
            f"--{name} {getattr(opt, name)} (the run has {value})" for name, value in overridden.items()
        ]
        new = [
            f"--{name} {getattr(opt, name)}"
            for name in sorted(copied.keys() & vars(opt).keys() - overridden.keys())
            if getattr(opt, name) != getattr(without, name, None)
        ]
        if new and is_main_by_environment():
            print(f"note: copied from --init_from {opt.init_from}: {', '.join(new)}", file=sys.stderr)

    def _check_changes(self, before: Mapping[str, Any], opt: argparse.Namespace, scopes: Mapping[str, Scope]) -> None:
        for name, value in before.items():
            flag, on_resume = f"--{name} {getattr(opt, name)}", scopes[name].on_resume
            if on_resume is OnResume.FIXED:
                raise UserError(
                    f"{flag}: the run has {value}, which can't change on resume: start a new run with the weights that "
                    f"fit: {self._restart_command(opt)}"
                )
            if on_resume is OnResume.NEEDS_FORCE and not opt.force:
                raise UserError(f"{flag}: the run has {value}; add --force to resume it with other images")
            print(f"note: {flag} overrides the run's {value}{EFFECTS.get(on_resume, EFFECT)}", file=sys.stderr)

    def _restart_command(self, opt: argparse.Namespace) -> str:
        """The command that starts a new run with this command line's options and the weights of the run."""
        kept = without_options(self.argv, ("continue_train", "force", "name", "suffix", "dataroot"))
        new = [*with_value("dataroot", opt.dataroot), *with_value("name", f"{opt.name}_new")]
        return script_command(TRAIN, [*new, *kept, *with_value("init_from", opt.name), "--init_partial"])

    def _finish(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        if not opt.dataroot:
            raise UserError(f"--dataroot is required: run {opt.name} does not record the images it was trained on")
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
            raise UserError(
                f"--epoch {opt.epoch} has an effect only with --continue_train or --init_from RUN (the number of "
                "epochs is --n_epochs plus --n_epochs_decay)"
            )
        if opt.init_partial and not opt.init_from:
            raise UserError("--init_partial has an effect only with --init_from RUN_OR_FILE")
        has_images = any(Path(opt.dataroot, f"val{domain}").is_dir() for domain in ("", "A", "B"))
        self._resolve_extractor(opt, is_needed=opt.val_freq > 0 and (opt.val_fraction > 0 or has_images))
        last = opt.n_epochs + opt.n_epochs_decay
        if opt.epoch_count > last:
            raise UserError(
                f"--epoch_count {opt.epoch_count} is after the last epoch, {last} (--n_epochs plus --n_epochs_decay): "
                "there is nothing to train"
            )


def _nearest(given: str | None, recorded: str | None) -> str | None:
    """The dataroot of a run: as it was given, if that is still the same folder, or else as an absolute path."""
    if not given or not recorded:
        return given or recorded
    moved = not Path(recorded).is_dir() and Path(given).is_dir()
    return given if moved or str(Path(given).resolve()) == recorded else recorded
