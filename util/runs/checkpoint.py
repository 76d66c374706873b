"""Checkpoints: plain weight files in the field's layout, and one file with the whole state of a run."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from torch import Tensor, nn

from util.errors import UserError
from util.files import Summed, atomic_open, folder_to_disk, sha256, to_disk
from util.runs import manifest

STATE_FORMAT = 3
SEAL = b"sha256:"  # and the sum in hexadecimal stand after the archive, where torch.load does not look
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


# By format: how to make the states of the next format. Each must also be tested on a state of its format.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {2: _from_format_2}


class Stateful(Protocol):
    """What a checkpoint can hold: networks, optimizers, schedules, pools, counters, random states."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


def snapshot(value: Any, _copies: dict[Any, Tensor] | None = None) -> Any:
    """A copy of dicts, lists and tuples with all that they hold, which does not change when training goes on.

    Tensors are copied to the CPU, and one that occurs several times only once.
    """
    copies = {} if _copies is None else _copies
    if isinstance(value, Tensor):
        # Each state dict has a tensor object of its own for the same memory.
        place = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
        if place not in copies:
            copies[place] = value.detach().to("cpu", copy=True)
        return copies[place]
    if isinstance(value, dict):
        copied = copy.copy(value)  # with the versions of its layers, which a network's state dict has as an attribute
        for name, part in value.items():
            copied[name] = snapshot(part, copies)
        return copied
    if isinstance(value, list | tuple):
        return type(value)(snapshot(part, copies) for part in value)
    return copy.deepcopy(value)


def _read(path: Path, content: bytes | None = None) -> Any:
    """What torch.save wrote, on the CPU, read without running any code that the file, or its content, might hold."""
    try:
        return torch.load(path if content is None else BytesIO(content), map_location="cpu", weights_only=True)
    # A damaged file makes torch stumble in any way, from struct.error to AssertionError.
    except Exception as error:
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(": ")
        raise UserError(f"{path} can't be read as a file of weights: {reason}") from error


def _remedy(folder: Path) -> str:
    """What to do about weights that a run does not have."""
    others = sorted((path.name for path in folder.glob("*_net_*.pth")), key=lambda name: (name[0].isdigit(), name))
    if not others:
        return "train first, or check --name, --epoch and --checkpoints_dir"
    shown = ", ".join(others[:12]) + (", ..." if len(others) > 12 else "")
    return f"check --epoch, and in testing --model and --model_suffix, as there is {shown}"


def weights_path(folder: Path, epoch: str, network: str, suffix: str = "") -> Path:
    """Where the weights of a network are: latest_net_G_A.pth, 5_net_G_A.pth, iter_2000_net_G_A.pth."""
    return folder / f"{epoch}_net_{network}{suffix}.pth"


def _write(content: Any, file: BinaryIO) -> str:
    """torch.save; returns the SHA-256 sum of what it wrote. Raises OSError where the disk is full."""
    summed = Summed(file)
    try:
        torch.save(content, summed)  # type: ignore[arg-type]  # it needs no more of a file
    except RuntimeError:
        if summed.error is None:
            raise
        raise summed.error from None
    return summed.hexdigest()


def save_weights(networks: Mapping[Path, nn.Module]) -> None:
    """Write the weights of networks, see `write_weights`."""
    write_weights({path: network.state_dict() for path, network in networks.items()})


def write_weights(states: Mapping[Path, Mapping[str, Tensor]]) -> None:
    """Write the state dicts of networks, on the CPU, as the field's published weight files have them.

    All files, of one folder, are written before the first takes its name, and then all do: networks that were
    trained together stay together. Their sums go into the folder's manifest in between.
    """
    folder = next(iter(states)).parent
    sums = {}
    with ExitStack() as files:
        for path, state in states.items():
            file = files.enter_context(atomic_open(path))
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
            sums[path.name] = _write(weights, file)
            to_disk(file)
        manifest.record(folder, sums)
    folder_to_disk(folder)


def read_weights(paths: Collection[Path]) -> dict[Path, dict[str, Tensor]]:
    """The tensors, by name, of weight files of one folder.

    Raises UserError for one that is missing, or not as the folder's manifest has it; one from elsewhere gets a note.
    """
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is missing: {_remedy(path.parent)}")
    found = {}
    contents = manifest.read_files(next(iter(paths)).parent, [path.name for path in paths])
    for path in paths:
        weights = _read(path, contents[path.name])
        if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
            raise UserError(f"{path} holds no state dict of a network (tensors by name)")
        if not manifest.is_known(path):
            print(
                f"note: {path} is from elsewhere (no {manifest.MANIFEST} has its sum): taken as it is", file=sys.stderr
            )
        found[path] = dict(weights)
    return found


@dataclass
class Fit:
    """How the parameters of a weight file, by name, go with those of a network."""

    matching: list[str]
    missing: list[str]
    unknown: list[str]
    other_shape: list[str]

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.unknown or self.other_shape)

    def __str__(self) -> str:
        counts = (
            f"{len(self.missing)} parameters are missing, {len(self.unknown)} unknown, {len(self.other_shape)} of "
            "another shape"
        )
        example = [*self.missing, *self.unknown, *self.other_shape][:1]
        return counts + (f" (such as {example[0]})" if example else "")


def compare(network: nn.Module, weights: Mapping[str, Tensor]) -> Fit:
    """How weights fit a network, once old ones are adapted (see `adapt_old_weights`)."""
    weights, own = adapt_old_weights(network, weights), network.state_dict()
    common = sorted(own.keys() & weights.keys())
    return Fit(
        matching=[name for name in common if own[name].shape == weights[name].shape],
        missing=sorted(own.keys() - weights.keys()),
        unknown=sorted(weights.keys() - own.keys()),
        other_shape=[name for name in common if own[name].shape != weights[name].shape],
    )


def refuse_antialiased(path: Path, fit: Fit) -> None:
    """Raise UserError for weights of networks that sample through a blur, as the authors of CUT published them."""
    blurs = [name for name in fit.unknown if name.endswith(".filt")]
    if blurs:
        raise UserError(
            f"{path} has antialiased sampling ({blurs[0]}), as published CUT weights have and no network here: only "
            "those that were trained with --no_antialias --no_antialias_up can be loaded"
        )


def load_weights(networks: Mapping[Path, nn.Module]) -> None:
    """Read weight files, of one folder, into networks; a UserError says what doesn't fit.

    Statistics that old files carry for instance norm are dropped; a count of batches that old files lack for
    batch norm is 0; both only where the network has it so.
    """
    for path, weights in read_weights(networks.keys()).items():
        fit = compare(networks[path], weights)
        refuse_antialiased(path, fit)
        if not fit.is_whole:
            raise UserError(
                f"{path} does not fit the network: {fit}; "
                "give the --netG, --ngf, --norm, --no_dropout and channels it was trained with"
            )
        networks[path].load_state_dict(adapt_old_weights(networks[path], weights))


def adapt_old_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as older versions of torch wrote it, as today's layers have it."""
    weights = dict(weights)
    for prefix, module in network.named_modules():
        if isinstance(module, nn.InstanceNorm2d) and not module.track_running_stats:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                weights.pop(f"{prefix}.{name}", None)
        elif isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            weights.setdefault(f"{prefix}.num_batches_tracked", torch.tensor(0))
    return weights


class Checkpoint:
    """The whole state of a run in one file: a list of named objects, and all of them survive a restart.

    The file ends with its own SHA-256 sum. The `keep` newest are kept: <stem>.pt, <stem>.1.pt, <stem>.2.pt, ...
    """

    def __init__(self, path: Path, objects: Mapping[str, Stateful], keep: int = 1) -> None:
        self.path = path
        self.objects = dict(objects)
        self.keep = keep

    def path_before(self, number: int) -> Path:
        """Where the state is that was saved so many saves before the newest."""
        return self.path.with_suffix(f".{number}{self.path.suffix}") if number else self.path

    def paths(self) -> list[Path]:
        """The files that there are, the newest first."""
        older = self.path.parent.glob(f"{self.path.stem}.*{self.path.suffix}")
        numbers = sorted(int(part) for path in older if (part := path.suffixes[-2][1:]).isdigit())
        return [path for path in map(self.path_before, [0, *numbers]) if path.is_file()]

    def save(self) -> None:
        """Write the state of every object as it is now, see `write`."""
        self.write(self.states())

    def states(self) -> dict[str, dict[str, Any]]:
        """The state of every object: most are references to what training changes, see `snapshot`."""
        return {name: thing.state_dict() for name, thing in self.objects.items()}

    def write(self, states: Mapping[str, Any]) -> None:
        """Write these states beside the newest file; then each file takes the name of the one before.

        Raises OSError, and leaves all as it was, where the system refuses.
        """
        with atomic_open(self.path, durable=True) as file:
            total = _write({"format": STATE_FORMAT, "objects": states}, file)
            file.write(SEAL + total.encode())
            to_disk(file)
            # Killed from here on, the newest is missing, and the one before, which is whole, is found.
            for number in reversed(range(1, self.keep)):
                if self.path_before(number - 1).is_file():
                    os.replace(self.path_before(number - 1), self.path_before(number))
        for path in self.paths()[self.keep :]:
            path.unlink()

    def load(self) -> None:
        """Give every object its state back, from the newest file that is whole; damaged ones are set aside, and said.

        Raises UserError where none is whole, or the file holds other objects than this run has.
        """
        paths = self.paths()
        whole = next((path for path in paths if _is_sealed(path)), None)
        if whole is None:
            raise UserError(
                f"{self.path} is damaged (its SHA-256 sum is another), and there is no state from before: "
                "--continue_train --epoch N --epoch_count N+1 goes on from the weights of epoch N, with new optimizers"
            )
        self._restore(whole)
        for path in paths[: paths.index(whole)]:
            aside = path.with_suffix(".damaged")
            os.replace(path, aside)
            print(
                f"warning: {path} is damaged (its SHA-256 sum is another), and set aside as {aside.name}: "
                f"{whole.name}, saved before it, is taken",
                file=sys.stderr,
            )

    def _restore(self, path: Path) -> None:
        content = _read(path)
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
    """Whether a file can be read and ends with the right sum of all that stands before."""
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
