"""What a training run is on every rank: counters, the state that is restored, and when a save is due."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from torch import Tensor

from util.command import flag as with_value
from util.command import script_command
from util.monitors.base import print_line
from util.runs.checkpoint import Checkpoint, Stateful
from util.runs.progress import Progress
from util.runtime import torchrun_job
from util.runtime.device import get_device
from util.runtime.processes import processes
from util.runtime.random_state import RandomState

STATE = "latest_state.pt"
BEST = "best"  # the name of the best weights: best_net_G_A.pth, --epoch best
BEST_FILE = "best.json"  # how they were chosen, see util.evaluation.best


class Trained(Protocol):
    """What a run needs of a model."""

    def networks(self) -> Mapping[str, Any]: ...

    def state_objects(self) -> Mapping[str, Stateful]: ...

    def check_finite(self) -> None: ...

    def weights(self, epoch: str, /) -> Mapping[Path, Mapping[str, Tensor]]: ...

    def load_networks(self, epoch: str, /) -> None: ...


class BaseRun(ABC):
    """A training run in the folder checkpoints/<name>; a context manager that waits for the last save at its end.

    Rank 0 has a `Run`, which writes the folder; every other rank has a `FollowerRun`, which only reads it.
    """

    log: Any  # the LossLog; on other ranks an object without records
    metrics_log: Any  # likewise, of the scores of validations

    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.folder = Path(opt.checkpoints_dir) / opt.name
        self.last_epoch: int = opt.n_epochs + opt.n_epochs_decay
        self.progress = Progress(first_epoch=opt.epoch_count)
        self.print_message: Callable[[str], None] = print_line
        self.from_weights = False  # whether the run resumes from weights alone, without a state
        self._longest_save = 0.0  # seconds

    @abstractmethod
    def attach(self, model: Trained, dataset: Stateful) -> None:
        """Make model and dataset part of the run; with --continue_train, restore their state."""

    @abstractmethod
    def save(self, *names: str) -> None:
        """Save the state, and the networks' weights under each of these names (latest, best, 5, iter_2000).

        With the name "best", best.json is written too, with the content `progress.best`.

        Raises TrainingDiverged if a loss or a gradient was not finite; nothing is saved then.
        """

    @property
    @abstractmethod
    def is_saved(self) -> bool:
        """Whether the last save succeeded; waits for it."""

    def wait(self) -> None:  # not abstract: a run that writes nothing has nothing to wait for
        """Wait until the save in progress is on disk or has failed."""

    def is_due(self) -> bool:
        """Whether a save is due, by --save_latest_freq or --save_every."""
        minutes = (self.progress.seconds - self.progress.saved_at) / 60
        too_long = self.opt.save_every is not None and minutes >= self.opt.save_every
        return too_long or self.progress.due(self.opt.save_latest_freq)

    def end_epoch(self, is_best: bool) -> None:
        """Count the epoch. Save if its weights are the best so far, or are to be kept by --save_epoch_freq."""
        self.progress.end_epoch()
        names = [BEST] if is_best else []
        if self.progress.ended(self.opt.save_epoch_freq) or self.progress.epoch > self.last_epoch:
            names.append(str(self.progress.epoch - 1))
        if names:
            self.save("latest", *names)

    def seconds_to_save(self) -> float:
        """An upper estimate, from the saves so far: finish the save in progress, then make another."""
        return 2 * self._longest_save

    def resume_command(self) -> str:
        """The command that resumes this run, quoted for a shell."""
        flags = ["--continue_train", *(["--no_lock"] if self.opt.no_lock else [])]
        arguments = [*flags, *self._where()]
        return script_command("train.py", arguments, torchrun_job.local_processes(), torchrun_job.machine_options())

    def test_command(self) -> str:
        """The command that translates a test set with the best checkpoint, or else the last one, quoted for a shell."""
        phases = {entry.name.rstrip("AB") for entry in Path(self.opt.dataroot).glob("*")}
        only_training = self.opt.phase in phases and "test" not in phases
        flags = ["--phase", self.opt.phase] if only_training else []
        best = ["--epoch", BEST] if self.progress.best else []
        return script_command("test.py", [*flags, *best, *self._where()])

    def _where(self) -> list[str]:
        opt = self.opt
        arguments = [*with_value("dataroot", opt.dataroot), *with_value("name", opt.name)]
        # Options that a run does not restore, where they are not the default.
        if opt.checkpoints_dir != "./checkpoints":
            arguments += with_value("checkpoints_dir", opt.checkpoints_dir)
        if opt.device != "auto":
            arguments += ["--device", opt.device]
        return arguments

    # Restoring.

    def _attach(self, model: Trained, dataset: Stateful) -> None:
        self.model = model
        # The dataset first: a changed dataset is an error that must come before any other object is changed.
        objects = {"dataset": dataset, **model.state_objects(), "random": RandomState(get_device(self.opt.device))}
        objects |= {"progress": self.progress, "losses": self.log, "metrics": self.metrics_log}
        self.checkpoint = Checkpoint(self.folder / STATE, objects, keep=self.opt.keep_checkpoints)

    def _restore(self) -> None:
        """With --continue_train: restore the state, or load the weights of --epoch where there is no state to use."""
        if not self.opt.continue_train:
            return
        if self.checkpoint.paths() and self.opt.epoch == "latest":
            self.checkpoint.load()
        else:
            self.from_weights = True
            self.model.load_networks(self.opt.epoch)

    def _check_replicas(self) -> None:
        """Raise UserError unless all ranks start from the same state; then seed each rank's own random numbers."""
        if processes().world_size == 1:
            return
        networks = self.model.networks().values()
        sums = [float(p.detach().double().sum()) for network in networks for p in network.parameters()]
        remedy = f"{self.folder} must be on a disk that all machines share"
        processes().require_same((self.progress.step, *sums), remedy)
        processes().seed_step(self.opt.seed, self.progress.step)

    def __enter__(self) -> BaseRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()
