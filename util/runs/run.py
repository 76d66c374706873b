"""A training run on disk: the folder checkpoints/<name>, its whole state, and going on from it."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from torch import Tensor

from util.errors import UserError
from util.files import remove_left_over
from util.runs import manifest
from util.runs.checkpoint import Checkpoint, Stateful, snapshot, write_weights
from util.runs.lock import LOCK, Lock
from util.runs.loss_log import LossLog
from util.runs.progress import Progress
from util.runtime import random_state
from util.runtime.processes import processes

STATE = "latest_state.pt"
LOSSES = "losses.jsonl"


class Trained(Protocol):
    """What a run needs of a model."""

    def networks(self) -> Mapping[str, Any]: ...

    def state_objects(self) -> Mapping[str, Stateful]: ...

    def check_finite(self) -> None: ...

    def weights(self, epoch: str, /) -> Mapping[Path, Mapping[str, Tensor]]: ...

    def load_networks(self, epoch: str, /) -> None: ...


class Run:
    """The folder of a run, made or found, and how far the run is; a context that ends when the last save is on disk.

    Raises UserError rather than mix two runs in one folder, or have two processes train in it.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.folder = Path(opt.checkpoints_dir) / opt.name
        self.last_epoch: int = opt.n_epochs + opt.n_epochs_decay
        self.progress = Progress(first_epoch=opt.epoch_count)
        self.say: Callable[[str], None] = lambda message: print(message, file=sys.stderr)
        self.from_weights = False  # whether it goes on from weights alone, without a state
        self.failed_save = ""  # why the last save failed; empty if it did not
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._writing: Future[None] | None = None  # the save that was begun last, until it was seen to end
        self._longest_save = 0.0  # seconds
        if opt.continue_train and not self._has_begun():
            raise UserError(f"--continue_train: {self.folder} holds no checkpoint; leave the flag out to start a run")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--checkpoints_dir {opt.checkpoints_dir}: {self.folder} can't be made ({error.strerror})"
            ) from error
        self.lock = Lock(self.folder)
        if self._has_begun() and not opt.continue_train:
            if not opt.overwrite:
                raise UserError(
                    f"{self.folder} holds a run already: --continue_train goes on with it, --overwrite starts anew, "
                    "--name gives this run another folder"
                )
            self._empty()
        remove_left_over(self.folder)
        self.log = LossLog(self.folder / LOSSES, forced=opt.force)
        if not opt.continue_train:
            self.log.set_aside()  # of a run that ended before its first checkpoint

    def _has_begun(self) -> bool:
        return any(path.suffix in (".pt", ".pth") for path in self.folder.glob("*"))

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    def hold(self, model: Trained, dataset: Stateful) -> None:
        """Take these under the run's care: with --continue_train, give them back the state they had."""
        self.model = model
        objects = self._state_objects(model, dataset, self.log)
        self.checkpoint = Checkpoint(self.folder / STATE, objects, keep=self.opt.keep_checkpoints)
        if self.opt.continue_train and self.checkpoint.paths() and self.opt.epoch == "latest":
            self._go_on()
        elif self.opt.continue_train:
            self._go_on_from_weights()
        processes().wait()
        self._begin_together()

    def _begin_together(self) -> None:
        """Make sure that all processes begin with the same, and each with random numbers of its own."""
        if processes().count == 1:
            return
        networks = self.model.networks().values()
        sums = [float(p.detach().double().sum()) for network in networks for p in network.parameters()]
        remedy = f"{self.folder} has to be on a disk that all machines share"
        processes().require_same((self.progress.step, *sums), remedy)
        processes().seed_step(self.opt.seed, self.progress.step)

    def _state_objects(self, model: Trained, dataset: Stateful, log: Stateful) -> dict[str, Stateful]:
        # The dataset first: that it is another one is said before anything is changed.
        objects = {"dataset": dataset, **model.state_objects(), "random": random_state.RandomState()}
        return objects | {"progress": self.progress, "losses": log}

    def _go_on(self) -> None:
        self.checkpoint.load()
        self.opt.epoch_count = self.progress.first_epoch
        # A save may have been cut off between the state and the weights, which follow it.
        damaged = manifest.damaged(self.folder)
        for name in self.progress.saved_as:
            write_weights(self.model.weights(name))
        written = {f"{name}_net_{network}.pth" for name in self.progress.saved_as for network in self.model.networks()}
        if mended := sorted(written & set(damaged)):
            print(f"written anew out of {STATE}, as a save was cut off or they were damaged: {', '.join(mended)}")
        if lost := [name for name in sorted(set(damaged) - written) if (self.folder / name).is_file()]:
            print(f"warning: damaged, which does not matter here: {', '.join(lost)}", file=sys.stderr)
        if self.progress.epoch > self.last_epoch:
            print(f"all {self.last_epoch} epochs are trained: to go on, give a larger --n_epochs or --n_epochs_decay")
        else:
            print(f"going on after {self.progress.images:,} images, in epoch {self.progress.epoch}")

    def _go_on_from_weights(self) -> None:
        self.from_weights = True
        self.model.load_networks(self.opt.epoch)
        self.log.set_aside()
        print(
            f"warning: going on from the weights of --epoch {self.opt.epoch} alone, as epoch {self.opt.epoch_count}: "
            "optimizers, image pools, random state and losses start anew",
            file=sys.stderr,
        )

    def is_due(self) -> bool:
        """Whether it is time for a save, by --save_latest_freq or --save_every. Raises what ended the last one."""
        if self._writing is not None and self._writing.done():
            self.wait()
        minutes = (self.progress.seconds - self.progress.saved_at) / 60
        too_long = self.opt.save_every is not None and minutes >= self.opt.save_every
        return too_long or self.progress.due(self.opt.save_latest_freq)

    def save(self, *names: str) -> None:
        """Save the whole state, and the networks' weights under each of these names (latest, 5, iter_2000).

        Training waits only for a copy of them, which a thread writes while it goes on; and for the save before, if
        that is still being written. Where the system refuses, as on a full disk, what was saved before stays, and
        training goes on to the next save. Raises TrainingDiverged rather than save what a number that is not finite
        has reached.
        """
        self.model.check_finite()
        self.wait()
        begun = time.monotonic()
        self.progress.saved_at = self.progress.seconds
        self.progress.saved_as = list(names)
        failure = f"step {self.progress.step} is not saved as {', '.join(names)}"
        with self._telling(failure):
            copies = snapshot([self.checkpoint.states(), *(self.model.weights(name) for name in names)])
            self._writing = self._writer.submit(self._write, copies, failure, begun)

    def _write(self, copies: list[Any], failure: str, begun: float) -> None:
        """Write the states and the weights; run by a thread."""
        states, *weights = copies
        with self._telling(failure):
            self.log.to_disk()
            self.checkpoint.write(states)
            for files in weights:
                write_weights(files)
            self.failed_save = ""
        self._longest_save = max(self._longest_save, time.monotonic() - begun)

    @contextmanager
    def _telling(self, failure: str) -> Iterator[None]:
        """A context in which the system may refuse: that is told, and kept in `failed_save`."""
        try:
            yield
        except OSError as error:
            self.failed_save = str(error)
            self.say(f"warning: {failure} ({error}): training goes on to the next save")

    def wait(self) -> None:
        """Wait until the save that was begun last is on disk, or has failed; raises what was no fault of the system."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    @property
    def is_saved(self) -> bool:
        """Whether the last save succeeded, which is waited for; if not, says so."""
        self.wait()
        if self.failed_save:
            self.say(f"error: the end of the run is not saved ({self.failed_save}): make room, then --continue_train")
        return not self.failed_save

    def seconds_to_save(self) -> float:
        """How long it may take, by the saves so far, to end the one that is being written and to make another."""
        return 2 * self._longest_save

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()
