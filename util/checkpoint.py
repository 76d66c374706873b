"""Checkpoints: plain weight files in the field's layout, and one file with the whole state of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from util.errors import UserError
from util.files import atomic_open

STATE_FORMAT = 1


class Stateful(Protocol):
    """What a checkpoint can hold: networks, optimizers, schedulers, pools, counters, random states."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


def _read(path: Path) -> Any:
    """What torch.save wrote, on the CPU, read without running any code that the file might hold."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file makes torch stumble in any way, from struct.error to AssertionError.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} can't be read as a file of weights: {reason}") from error


def weights_path(folder: Path, epoch: str, network: str, suffix: str = "") -> Path:
    """Where the weights of a network are: latest_net_G_A.pth, 5_net_G_A.pth, iter_2000_net_G_A.pth."""
    return folder / f"{epoch}_net_{network}{suffix}.pth"


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's state dict, on the CPU, as the field's published weight files have it."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_open(path, durable=True) as file:
        torch.save(weights, file)


def load_weights(network: nn.Module, path: Path) -> None:
    """Read a weight file into a network; a UserError says what doesn't fit.

    Statistics that old files carry for instance norm are dropped; a count of batches that old files lack for
    batch norm is 0; both only where the network has it so.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: train first, or check --name, --epoch and --checkpoints_dir")
    weights = _read(path)
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise UserError(f"{path} holds no state dict of a network (tensors by name)")
    weights = adapt_old_weights(network, dict(weights))
    own = network.state_dict()
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    other_shape = [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    if missing or unknown or other_shape:
        example = (missing + unknown + sorted(other_shape))[0]
        raise UserError(
            f"{path} does not fit the network: {len(missing)} parameters are missing, {len(unknown)} unknown, "
            f"{len(other_shape)} of another shape (such as {example}); "
            "give the --netG, --ngf, --norm, --no_dropout and channels it was trained with"
        )
    network.load_state_dict(weights)


def adapt_old_weights(network: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as older versions of torch wrote it, as today's layers have it."""
    for prefix, module in network.named_modules():
        if isinstance(module, nn.InstanceNorm2d) and not module.track_running_stats:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                weights.pop(f"{prefix}.{name}", None)
        elif isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            weights.setdefault(f"{prefix}.num_batches_tracked", torch.tensor(0))
    return weights


class Checkpoint:
    """The whole state of a run in one file: a list of named objects, and all of them survive a restart."""

    def __init__(self, path: Path, objects: Mapping[str, Stateful]) -> None:
        self.path = path
        self.objects = dict(objects)

    def save(self) -> None:
        """Write the state of every object, beside the old file and then over it."""
        state = {name: thing.state_dict() for name, thing in self.objects.items()}
        with atomic_open(self.path, durable=True) as file:
            torch.save({"format": STATE_FORMAT, "objects": state}, file)

    def load(self) -> None:
        """Give every object its state back; a UserError where the file holds other objects than this run has."""
        content = _read(self.path)
        if not isinstance(content, dict) or content.get("format") != STATE_FORMAT:
            raise UserError(f"{self.path} is no state of a run that this version can read")
        states = content["objects"]
        if states.keys() != self.objects.keys():
            different = ", ".join(sorted(states.keys() ^ self.objects.keys()))
            raise UserError(
                f"{self.path} holds other objects than this run has ({different}): continue with the options it "
                "was started with"
            )
        for name, thing in self.objects.items():
            try:
                thing.load_state_dict(states[name])
            except (RuntimeError, ValueError, KeyError) as error:
                raise UserError(
                    f"{self.path} does not fit this run's {name}: continue with the network options it was started with"
                ) from error
