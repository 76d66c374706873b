"""The checkpoint of a run: one file with the state of everything that must survive a restart."""

from __future__ import annotations

import copy
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from util.errors import UserError
from util.files import atomic_open, sha256, to_disk
from util.runs.weights import read_file, write_file

STATE_FORMAT = 4
SEAL = b"sha256:"  # followed by the sum in hexadecimal; after the archive, where torch.load does not look
SEAL_LENGTH = len(SEAL) + 64


def _from_format_2(states: dict[str, Any]) -> dict[str, Any]:
    """Schedules had one initial rate ("lr") and one rate for all parameter groups."""
    migrated = dict(states)
    for name in states:
        if name.startswith("schedule_"):
            schedule = dict(states[name])
            groups = len(states[name.replace("schedule_", "optimizer_")]["param_groups"])
            schedule["initial"], schedule["rates"] = [schedule.pop("lr")] * groups, [schedule.pop("rate")] * groups
            migrated[name] = schedule
    return migrated


def _from_format_3(states: dict[str, Any]) -> dict[str, Any]:
    """Runs had no validation."""
    log = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
    return {**states, "metrics": log, "progress": {**states["progress"], "best": ""}}


# By format: how to make the states of the next format. Each must also be tested on a state of its format.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {2: _from_format_2, 3: _from_format_3}


class Stateful(Protocol):
    """An object in a checkpoint: network, optimizer, schedule, image pool, counter, random state."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


def snapshot(value: Any, _copies: dict[Any, Tensor] | None = None) -> Any:
    """A deep copy of dicts, lists and tuples, which does not change when training continues.

    Tensors are copied to the CPU. A tensor that occurs several times is copied once.
    """
    copies = {} if _copies is None else _copies
    if isinstance(value, Tensor):
        # Each state dict has its own tensor object for the same memory.
        memory = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
        if memory not in copies:
            copies[memory] = value.detach().to("cpu", copy=True)
        return copies[memory]
    if isinstance(value, dict):
        copied = copy.copy(value)  # a network's state dict has the versions of its layers as an attribute
        for name, part in value.items():
            copied[name] = snapshot(part, copies)
        return copied
    if isinstance(value, list | tuple):
        return type(value)(snapshot(part, copies) for part in value)
    return copy.deepcopy(value)


class Checkpoint:
    """The whole state of a run in one file: the states of named objects, all of which survive a restart.

    The file ends with its own SHA-256 sum. The `keep` newest are kept: <stem>.pt, <stem>.1.pt, <stem>.2.pt, ...
    """

    def __init__(self, path: Path, objects: Mapping[str, Stateful], keep: int = 1) -> None:
        self.path = path
        self.objects = dict(objects)
        self.keep = keep

    def fallback_path(self, number: int) -> Path:
        """The file of the state that was saved `number` saves before the newest."""
        return self.path.with_suffix(f".{number}{self.path.suffix}") if number else self.path

    def paths(self) -> list[Path]:
        """The existing files, newest first."""
        older = self.path.parent.glob(f"{self.path.stem}.*{self.path.suffix}")
        numbers = sorted(int(part) for path in older if (part := path.suffixes[-2][1:]).isdigit())
        return [path for path in map(self.fallback_path, [0, *numbers]) if path.is_file()]

    def save(self) -> None:
        """Write the current state of every object, see `write`."""
        self.write(self.states())

    def states(self) -> dict[str, dict[str, Any]]:
        """The state of every object. Most values are references that training will change, see `snapshot`."""
        return {name: thing.state_dict() for name, thing in self.objects.items()}

    def write(self, states: Mapping[str, Any]) -> None:
        """Write states to a temporary file, rename each existing file to the next fallback, then rename the new one.

        Raises OSError if the system refuses; the existing files then stay as they were.
        """
        with atomic_open(self.path, durable=True) as file:
            total = write_file({"format": STATE_FORMAT, "objects": states}, file)
            file.write(SEAL + total.encode())
            to_disk(file)
            # If the process is killed from here on, the newest file is missing and the intact fallback is found.
            for number in reversed(range(1, self.keep)):
                if self.fallback_path(number - 1).is_file():
                    os.replace(self.fallback_path(number - 1), self.fallback_path(number))
        for path in self.paths()[self.keep :]:
            path.unlink()

    def load(self) -> None:
        """Restore every object from the newest intact file. Damaged files are renamed to .damaged, with a warning.

        Raises UserError if no file is intact, or if the file's objects are not those of this run.
        """
        paths = self.paths()
        intact = next((path for path in paths if _is_sealed(path)), None)
        if intact is None:
            raise UserError(
                f"{self.path} is damaged (its SHA-256 sum does not match) and there is no fallback checkpoint: "
                "resume from the weights of epoch N, with new optimizers, by --continue_train --epoch N --epoch_count "
                "N+1"
            )
        self._restore(intact)
        for path in paths[: paths.index(intact)]:
            renamed = path.with_suffix(".damaged")
            os.replace(path, renamed)
            print(
                f"warning: {path} is damaged (its SHA-256 sum does not match); renamed it to {renamed.name} and loaded "
                f"the fallback checkpoint {intact.name}",
                file=sys.stderr,
            )

    def _restore(self, path: Path) -> None:
        content = read_file(path)
        states = content.get("objects") if isinstance(content, dict) else None
        saved_format = content.get("format") if isinstance(content, dict) else None
        if not isinstance(states, dict) or saved_format not in (*MIGRATIONS, STATE_FORMAT):
            raise UserError(f"{path} is not a state that this version can read (its format is {saved_format})")
        for number in range(saved_format, STATE_FORMAT):
            states = MIGRATIONS[number](states)
        self._compare_names(path, states)
        for name, thing in self.objects.items():
            if name not in states:
                continue
            try:
                thing.load_state_dict(_with_defaults(path, name, thing, states[name]))
            except UserError:
                raise
            except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                raise UserError(
                    f"{path} does not fit this run's {name}: resume with the network options the run was started with"
                ) from error

    def _compare_names(self, path: Path, states: Mapping[str, Any]) -> None:
        """Raise UserError unless the state has this run's networks; print notes on other objects that differ."""
        missing, unknown = self.objects.keys() - states.keys(), states.keys() - self.objects.keys()
        if networks := sorted(name for name in missing | unknown if name.startswith("net_")):
            raise UserError(
                f"{path} has other networks than this run ({', '.join(networks)}): resume with the network options the "
                "run was started with"
            )
        if averages := sorted(name for name in unknown if name.startswith("average_")):
            raise UserError(
                f"{path} has moving averages ({', '.join(averages)}), which are what its weight files contain: resume "
                "with the --ema_decay of the run"
            )
        if missing:
            print(f"note: {path} lacks {', '.join(sorted(missing))}: these start with their defaults", file=sys.stderr)
        if unknown:
            print(f"note: {path} also has {', '.join(sorted(unknown))}: not used by this run", file=sys.stderr)


def _with_defaults(path: Path, name: str, thing: Stateful, state: Any) -> Any:
    """A saved state, with the current values of keys that it lacks; not for parameters, which have to be complete."""
    if isinstance(thing, torch.nn.Module | torch.optim.Optimizer) or not isinstance(state, Mapping):
        return state
    current = thing.state_dict()
    if missing := sorted(current.keys() - state.keys()) if state else []:
        print(f"note: {path}: {name} lacks {', '.join(missing)}: set to the defaults", file=sys.stderr)
    return {key: current[key] for key in missing} | dict(state)


def _is_sealed(path: Path) -> bool:
    """Whether a file can be read and ends with the SHA-256 sum of its preceding bytes."""
    try:
        length = path.stat().st_size - SEAL_LENGTH
        if length < 0:
            return False
        with open(path, "rb") as file:
            file.seek(length)
            seal = file.read()
        return seal == SEAL + sha256(path, length).encode()
    except OSError:  # a bad disk
        return False
