"""A training run on disk: the folder checkpoints/<name>, saving its state, and resuming from it."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from util.errors import UserError
from util.files import atomic_write, remove_temporary_files
from util.runs import manifest
from util.runs.base_run import BEST, BEST_FILE, STATE, BaseRun, Trained
from util.runs.checkpoint import Stateful, snapshot
from util.runs.follower import FollowerRun
from util.runs.lock import LOCK, Lock
from util.runs.loss_log import LossLog
from util.runs.weights import write_weights
from util.runtime.processes import processes
from util.runtime.torchrun_job import leave_mark

LOSSES = "losses.jsonl"
METRICS = "metrics.jsonl"


def create_run(opt: argparse.Namespace) -> BaseRun:
    """The run of this rank; rank 0 creates or opens the folder before the other ranks read it."""
    processes().barrier()  # until all ranks have read their initial weights: --overwrite may remove them
    run = Run(opt) if processes().is_main else None
    processes().barrier()
    leave_mark(Path(opt.checkpoints_dir) / opt.name)
    return run or FollowerRun(opt)


class Run(BaseRun):
    """The run of rank 0, which owns the folder: it locks it, writes it, and repairs it when resuming.

    Raises UserError if another process trains in the folder, or if it holds a run and neither --continue_train nor
    --overwrite is given.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.failed_save = ""  # why the last save failed; empty if it succeeded
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._writing: Future[None] | None = None  # the last save, until its end was noticed
        self._prepare_folder()
        self.log: LossLog = LossLog(self.folder / LOSSES, forced=opt.force)
        self.metrics_log: LossLog = LossLog(self.folder / METRICS, forced=opt.force)
        if not opt.continue_train:
            self._set_logs_aside()  # from a run that ended before its first checkpoint

    # The folder.

    def _prepare_folder(self) -> None:
        """Create and lock the folder; empty it with --overwrite."""
        opt, folder = self.opt, self.folder
        if opt.continue_train and not self._has_begun():
            raise UserError(f"--continue_train: {folder} has no checkpoint; omit the flag to start a new run")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--checkpoints_dir {opt.checkpoints_dir}: can't create {folder} ({error.strerror})"
            ) from error
        self.lock = Lock(folder, enabled=not opt.no_lock)
        if self._has_begun() and not opt.continue_train:
            if not opt.overwrite:
                raise UserError(
                    f"{folder} already contains a run: use --continue_train to resume it, --overwrite to replace it, "
                    "or --name for a different folder"
                )
            self._empty()
        remove_temporary_files(folder)

    def _has_begun(self) -> bool:
        return any(path.suffix in (".pt", ".pth") for path in self.folder.glob("*"))

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    # Resuming.

    def attach(self, model: Trained, dataset: Stateful) -> None:
        self._attach(model, dataset)
        self._restore()
        if self.from_weights:
            self._set_logs_aside()
            print(
                f"warning: resuming from the weights of --epoch {self.opt.epoch} alone, as epoch "
                f"{self.opt.epoch_count}: optimizers, image pools, random state and losses start from scratch",
                file=sys.stderr,
            )
        elif self.opt.continue_train:
            self._repair_weights()
            self._print_progress()
        processes().barrier()
        self._check_replicas()

    def _set_logs_aside(self) -> None:
        for log in (self.log, self.metrics_log):
            log.set_aside()

    def _repair_weights(self) -> None:
        """Write the weight files of the last save again: it may have ended between the state and the weights."""
        damaged = manifest.damaged(self.folder)
        for name in self.progress.saved_as:
            write_weights(self.model.weights(name))
        if BEST in self.progress.saved_as:
            atomic_write(self.folder / BEST_FILE, self.progress.best)
        written = {f"{name}_net_{network}.pth" for name in self.progress.saved_as for network in self.model.networks()}
        if repaired := sorted(written & set(damaged)):
            print(f"rewritten from {STATE}, because a save was interrupted or damaged: {', '.join(repaired)}")
        if others := [name for name in sorted(set(damaged) - written) if (self.folder / name).is_file()]:
            print(f"warning: damaged, but not needed to resume: {', '.join(others)}", file=sys.stderr)

    def _print_progress(self) -> None:
        if self.progress.epoch > self.last_epoch:
            print(f"all {self.last_epoch} epochs are done: to train longer, increase --n_epochs or --n_epochs_decay")
        else:
            print(f"resuming after {self.progress.images:,} images, in epoch {self.progress.epoch}")

    # Saving.

    def is_due(self) -> bool:
        """Whether a save is due, see BaseRun. Raises the error that ended the last save, unless it was an OSError."""
        if self._writing is not None and self._writing.done():
            self.wait()
        return super().is_due()

    def save(self, *names: str) -> None:
        """Save the state and the weights in a background thread, see BaseRun.

        Training waits only for a copy of them, and for the previous save if it is still being written. If the system
        refuses (a full disk), the previous files stay and training continues until the next save.
        """
        self.model.check_finite()
        self.wait()
        started = time.monotonic()
        self.progress.saved_at = self.progress.seconds
        self.progress.saved_as = list(names)
        failure = f"step {self.progress.step} could not be saved as {', '.join(names)}"
        with self._catch_os_errors(failure):
            copies = snapshot([self.checkpoint.states(), *(self.model.weights(name) for name in names)])
            best = self.progress.best if BEST in names else ""
            self._writing = self._writer.submit(self._write, copies, best, failure, started)

    def _write(self, copies: list[Any], best: str, failure: str, started: float) -> None:
        """Write the states and the weights; runs in the background thread."""
        states, *weights = copies
        with self._catch_os_errors(failure):
            self.log.to_disk()
            self.metrics_log.to_disk()
            self.checkpoint.write(states)
            if best:  # so that it never describes weights of another checkpoint
                (self.folder / BEST_FILE).unlink(missing_ok=True)
            for files in weights:
                write_weights(files)
            if best:
                atomic_write(self.folder / BEST_FILE, best)
            self.failed_save = ""
        self._longest_save = max(self._longest_save, time.monotonic() - started)

    @contextmanager
    def _catch_os_errors(self, failure: str) -> Iterator[None]:
        """Print an OSError as a warning and keep it in `failed_save`."""
        try:
            yield
        except OSError as error:
            self.failed_save = str(error)
            self.print_message(f"warning: {failure} ({error}); training continues until the next save")

    def wait(self) -> None:
        """Wait until the save in progress is on disk or has failed. Raises its error unless it was an OSError."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    @property
    def is_saved(self) -> bool:
        """Whether the last save succeeded; waits for it, and prints an error if it failed."""
        self.wait()
        if self.failed_save:
            self.print_message(
                f"error: the end of the run could not be saved ({self.failed_save}); free some space, then resume "
                f"with: {self.resume_command()}"
            )
        return not self.failed_save
