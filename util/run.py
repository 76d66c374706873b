"""A training run on disk: the folder checkpoints/<name>, its whole state, and going on from it."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from util import runtime
from util.checkpoint import Checkpoint, Stateful
from util.errors import UserError
from util.progress import Progress

STATE = "latest_state.pt"
LOSSES = "losses.jsonl"


class Trained(Protocol):
    """What a run needs of a model."""

    def state_objects(self) -> Mapping[str, Stateful]: ...

    def save_networks(self, epoch: str, /) -> None: ...

    def load_networks(self, epoch: str, /) -> None: ...


class Run:
    """The folder of a run, made or found, and how far the run is.

    Raises UserError rather than mix two runs in one folder.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.folder = Path(opt.checkpoints_dir) / opt.name
        self.last_epoch: int = opt.n_epochs + opt.n_epochs_decay
        self.progress = Progress(first_epoch=opt.epoch_count)
        trained = [path for path in self.folder.glob("*") if path.name in (STATE, LOSSES) or path.suffix == ".pth"]
        if opt.continue_train and not trained:
            raise UserError(f"--continue_train: {self.folder} holds no checkpoint; leave the flag out to start a run")
        if trained and opt.overwrite:
            shutil.rmtree(self.folder)
        elif trained and not opt.continue_train:
            raise UserError(
                f"{self.folder} holds a run already: --continue_train goes on with it, --overwrite starts anew, "
                "--name gives this run another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--checkpoints_dir {opt.checkpoints_dir}: {self.folder} can't be made ({error.strerror})"
            ) from error

    def hold(self, model: Trained) -> None:
        """Take the model under this run's care: with --continue_train, give it back the state it had."""
        self.model = model
        objects = {**model.state_objects(), "progress": self.progress, "random": runtime.RandomState()}
        self.checkpoint = Checkpoint(self.folder / STATE, objects)
        if not self.opt.continue_train:
            return
        if self.checkpoint.path.is_file() and self.opt.epoch == "latest":
            self.checkpoint.load()
            self.opt.epoch_count = self.progress.first_epoch
            if self.progress.epoch > self.last_epoch:
                print(f"all {self.last_epoch} epochs are trained: more of --n_epochs or --n_epochs_decay go on")
            else:
                print(f"going on after {self.progress.images:,} images, in epoch {self.progress.epoch}")
            return
        model.load_networks(self.opt.epoch)
        print(
            f"warning: going on from the weights of --epoch {self.opt.epoch} alone, as epoch {self.opt.epoch_count}: "
            "optimizers, image pools and random state start anew",
            file=sys.stderr,
        )

    def save(self, *names: str) -> None:
        """Write the whole state, and the networks' weights under each of these names (latest, 5, iter_2000)."""
        self.checkpoint.save()
        for name in names:
            self.model.save_networks(name)
