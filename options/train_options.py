"""The flags of train.py."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.architectures import GAN_MODES, LR_POLICIES
from options.base_options import BaseOptions
from options.parser import OptionParser
from util.arguments import number
from util.errors import UserError
from util.runtime import torchrun_job

# What --continue_train does not take over from the run: it may go on elsewhere, and looks for what it is told to.
OF_THE_MACHINE = {
    "checkpoints_dir",
    "config",
    "suffix",
    "device",
    "gpu_ids",
    "num_threads",
    "cache",
    "cache_dir",
    "verbose",
    "epoch",
    "load_iter",
    "epoch_count",
    "continue_train",
    "overwrite",
    "force",
    "init_from",
    "init_partial",
    "time_limit",
}
# What it shows and saves, and where the images are (their fingerprint is compared): of no effect on the numbers.
HARMLESS = {"dataroot", "use_wandb", "wandb_project_name", "no_html", "save_every", "keep_checkpoints", "save_by_iter"}
HARMLESS |= {"use_tensorboard", "monitor"}
DOMAINS = {"dataset_mode", "direction"}
HARMLESS_PREFIXES = ("display_", "print_", "update_html_", "save_latest_", "save_epoch_")


# How a run begins, which does not hold for what goes on with it by itself.
BEGINNING = ("overwrite", "init_from", "init_partial", "epoch", "load_iter", "epoch_count", "continue_train")


class TrainOptions(BaseOptions):
    """Options of a training run."""

    is_train = True
    goes_on = False  # whether torchrun has started this again
    description = "Train a model on folders of images. Options of other models: --model NAME --help."

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """See BaseOptions. What torchrun has started again (--max-restarts) goes on with the run it had begun."""
        argv = list(sys.argv[1:] if argv is None else argv)
        opt = super().parse(argv)
        if not (torchrun_job.is_restarted() and torchrun_job.has_mark(Path(opt.checkpoints_dir) / opt.name)):
            return opt
        print(f"started again: going on with {opt.name}", file=sys.stderr)
        self.goes_on = True
        return super().parse([*_without(argv, *(f"--{name}" for name in BEGINNING)), "--continue_train"])

    def _usable(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if not (self.goes_on and name in BEGINNING)}

    def add_options(self, parser: OptionParser) -> None:
        super().add_options(parser)
        add_training_options(parser)
        add_saving_options(parser)
        add_monitor_options(parser)

    def _run_to_restore(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> str | None:
        return str(opt.name) if opt.continue_train else None

    def _restorable(self, parser: OptionParser) -> set[str]:
        return parser.options().keys() - OF_THE_MACHINE

    def _judge_changes(self, changed: Mapping[str, Any], opt: argparse.Namespace, parser: OptionParser) -> None:
        """Refuse what would make another run of it, unless --force; say what other changes do."""
        for name, before in changed.items():
            now = getattr(opt, name)
            if name in parser.fixed:
                raise UserError(
                    f"--{name} {now}: the run has {before}, and can't go on with another: start a new run "
                    f"(--init_from {opt.name} takes over what fits)"
                )
            if name in DOMAINS and not opt.force:
                raise UserError(f"--{name} {now}: the run has {before}, and would go on with other images; --force it")
            harmless = name in HARMLESS or name.startswith(HARMLESS_PREFIXES)
            effect = "" if harmless else " from here on, which no run trained in one go would give"
            if name in ("n_epochs", "n_epochs_decay"):
                effect = ", with the learning rates of such a run from here on"
            print(f"note: --{name} {now}{effect}; until now {before}", file=sys.stderr)

    def _settle(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        super()._settle(opt, given)
        if opt.seed is None:
            opt.seed = secrets.randbelow(2**31)
        if opt.continue_train and opt.overwrite:
            raise UserError("--continue_train and --overwrite are opposites: give one of them")
        if opt.continue_train and opt.init_from:
            raise UserError("--continue_train goes on with a run's own weights, --init_from starts a new run: give one")
        if opt.force and not opt.continue_train:
            raise UserError("--force is for --continue_train: a new run has nothing that could not fit")
        if opt.epoch != "latest" and not (opt.continue_train or opt.init_from):
            raise UserError(f"--epoch {opt.epoch} says which weights to load, by --continue_train or --init_from RUN")
        if opt.init_partial and not opt.init_from:
            raise UserError("--init_partial is for --init_from RUN_OR_FILE, which is not given")
        last = opt.n_epochs + opt.n_epochs_decay
        if opt.epoch_count > last:
            raise UserError(
                f"--epoch_count {opt.epoch_count} is after the last epoch, which is {last} (--n_epochs and "
                "--n_epochs_decay together): there is nothing to train"
            )


def _without(argv: Sequence[str], *flags: str) -> list[str]:
    """A command line without these flags and their values."""
    left, skipping = [], False
    for text in argv:
        skipping = text.split("=")[0] in flags if text.startswith("--") else skipping
        left += [] if skipping else [text]
    return left


def add_training_options(parser: OptionParser) -> None:
    """Objective and schedule. Weights of losses are the models' own options."""
    group = parser.add_argument_group("training")
    epochs = number(int, least=0)
    group.add_argument(
        "--phase",
        default="train",
        help="how the names of the folders that --dataset_mode reads begin (unaligned: trainA and trainB)",
    )
    group.add_argument("--n_epochs", type=epochs, default=100, metavar="N", help="epochs at the initial learning rate")
    group.add_argument("--n_epochs_decay", type=epochs, default=100, metavar="N", help="epochs of falling towards 0")
    group.add_argument(
        "--accumulate",
        type=number(int, least=1),
        default=1,
        metavar="N",
        help="take each batch in N parts, one after another, for one that does not fit into memory",
    )
    group.add_argument(
        "--grad_checkpoint",
        action="store_true",
        help="compute the inside of residual blocks twice rather than keep it, for high resolutions",
    )
    group.add_argument("--compile", action="store_true", help="have torch.compile make the networks faster, in minutes")
    group.add_argument("--channels_last", action="store_true", help="lay images out as tensor cores of GPUs like them")
    group.add_argument("--lr", type=number(float, above=0), default=0.0002, help="initial learning rate of Adam")
    group.add_argument("--beta1", type=number(float, least=0, most=0.999), default=0.5, help="momentum of Adam")
    group.add_argument("--lr_policy", choices=LR_POLICIES, default="linear", help="learning-rate policy")
    group.add_argument(
        "--lr_decay_iters",
        type=number(int, least=1),
        default=50,
        metavar="N",
        help="epochs between steps (policy step)",
    )
    group.add_argument("--gan_mode", choices=GAN_MODES, default="lsgan", help="GAN objective")
    group.add_argument(
        "--lambda_gp",
        type=number(float, least=0),
        default=10.0,
        help="weight of the gradient penalty of wgangp",
    )
    group.add_argument(
        "--pool_size",
        type=number(int, least=0),
        default=50,
        metavar="N",
        help="generated images kept to show again",
    )
    group.add_argument(
        "--ema_decay",
        type=number(float, least=0, most=0.99999),
        default=0.0,
        help="save a moving average of the generators with this decay instead of their last weights; 0: none",
    )


def add_saving_options(parser: OptionParser) -> None:
    """Checkpoints, and going on from them."""
    group = parser.add_argument_group("saving")
    images = number(int, least=1)
    group.add_argument("--save_latest_freq", type=images, default=5000, metavar="N", help="images between checkpoints")
    minutes = number(float, above=0)
    group.add_argument("--save_every", type=minutes, metavar="MINUTES", help="save as often as that, too")
    group.add_argument("--keep_checkpoints", type=images, default=2, metavar="N", help="whole states to keep")
    group.add_argument("--time_limit", type=minutes, metavar="MINUTES", help="save and stop before so long has passed")
    group.add_argument("--save_epoch_freq", type=images, default=5, metavar="N", help="epochs between kept weights")
    group.add_argument("--save_by_iter", action="store_true", help="keep the weights of each checkpoint, as iter_N")
    group.add_argument("--continue_train", action="store_true", help="go on with the run from its last checkpoint")
    group.add_argument("--force", action="store_true", help="go on even if dataset, networks or log are not the same")
    group.add_argument(
        "--init_from", metavar="RUN_OR_FILE", help="start a new run from the weights of a run, a folder or a .pth file"
    )
    group.add_argument("--init_partial", action="store_true", help="take over what fits, and draw the rest anew")
    group.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds a run already")
    group.add_argument(
        "--epoch_count",
        type=images,
        default=1,
        metavar="N",
        help="number of the first epoch, for weights without a state",
    )


def add_monitor_options(parser: OptionParser) -> None:
    """What is shown while it trains. Frequencies count images."""
    group = parser.add_argument_group("monitoring")
    images = number(int, least=1)
    group.add_argument("--print_freq", type=images, default=100, metavar="N", help="images between lines of losses")
    group.add_argument("--update_html_freq", type=images, default=1000, metavar="N", help="images between page updates")
    group.add_argument("--no_html", action="store_true", help="write no page")
    group.add_argument("--use_tensorboard", action="store_true", help="write TensorBoard files to the run's folder")
    group.add_argument("--monitor", metavar="MODULE:NAME", help="your own monitor, as package.module:name")
    group.add_argument("--display_freq", type=images, default=400, metavar="N", help="images between visdom pictures")
    group.add_argument("--display_id", type=int, default=1, metavar="N", help="visdom window; 0 or less: no visdom")
    group.add_argument("--display_server", default="http://localhost", help="visdom server")
    group.add_argument("--display_port", type=number(int, least=1, most=65535), default=8097, help="visdom port")
    group.add_argument("--display_env", default="main", help="visdom environment")
    group.add_argument(
        "--display_ncols",
        type=number(int, least=0),
        default=4,
        metavar="N",
        help="visdom pictures in a row; 0: windows",
    )
