"""Weight files: plain state dicts in the field's layout. The state of a whole run is in util/runs/checkpoint.py."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from util.errors import UserError
from util.files import HashingFile, atomic_open, folder_to_disk, to_disk
from util.runs import layouts, manifest
from util.runs.foreign_weights import explain_unreadable, network_name, state_dict


def weights_path(folder: Path, epoch: str, network: str, suffix: str = "") -> Path:
    """The file of a network's weights: latest_net_G_A.pth, 5_net_G_A.pth, iter_2000_net_G_A.pth."""
    return folder / f"{epoch}_net_{network}{suffix}.pth"


def read_file(path: Path, content: bytes | None = None) -> Any:
    """Read what torch.save wrote to a file, or the given content of it, onto the CPU, without running code from it.

    Raises UserError if torch can't read it.
    """
    try:
        return torch.load(path if content is None else BytesIO(content), map_location="cpu", weights_only=True)
    # For a damaged file torch raises all kinds of errors, from struct.error to AssertionError.
    except Exception as error:
        raise UserError(f"{path} can't be read as a weight file: {explain_unreadable(error)}") from error


def write_file(content: Any, file: BinaryIO) -> str:
    """Write with torch.save; returns the SHA-256 sum of the written bytes. Raises OSError if the disk is full."""
    hashing = HashingFile(file)
    try:
        torch.save(content, hashing)  # type: ignore[arg-type]  # torch.save only calls write and flush
    except RuntimeError:
        if hashing.error is None:
            raise
        raise hashing.error from None
    return hashing.hexdigest()


def save_weights(networks: Mapping[Path, nn.Module]) -> None:
    """Write the weights of networks, see `write_weights`."""
    write_weights({path: network.state_dict() for path, network in networks.items()})


def write_weights(states: Mapping[Path, Mapping[str, Tensor]]) -> None:
    """Write the state dicts of networks, on the CPU, in the layout of the field's published weight files.

    All files must be in one folder. All are written before the first is renamed, so networks that were trained
    together stay together. Their sums are recorded in the folder's manifest before the renaming.
    """
    folder = next(iter(states)).parent
    sums = {}
    with ExitStack() as files:
        for path, state in states.items():
            file = files.enter_context(atomic_open(path))
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
            sums[path.name] = write_file(weights, file)
            to_disk(file)
        manifest.record(folder, sums)
    folder_to_disk(folder)


def read_weights(networks: Mapping[Path, nn.Module]) -> dict[Path, dict[str, Tensor]]:
    """The tensors for networks, by name, of weight files of one folder. Files of other code are unwrapped.

    Raises UserError if a file is missing, doesn't match the folder's manifest, or has values that are not finite.
    Prints a note about a file that the manifest doesn't list.
    """
    for path in networks:
        if not path.is_file():
            raise UserError(f"{path} is missing: {_remedy(path)}")
    found = {}
    contents = manifest.read_files(next(iter(networks)).parent, [path.name for path in networks])
    for path, network in networks.items():
        own = network.state_dict().keys()
        weights = state_dict(path, read_file(path, contents[path.name]), own)
        _require_finite(path, {name: weights[name] for name in own & weights.keys()})
        if not manifest.is_known(path):
            print(f"note: {path} is not listed in a {manifest.MANIFEST}: loaded without a check", file=sys.stderr)
        found[path] = weights
    return found


def _require_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Raise UserError for NaN or infinity, as a diverged training of other code saves them."""
    broken = [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise UserError(
            f"{path} has weights that are not finite (NaN or infinite) in {len(broken)} of {len(weights)} parameters, "
            f"for example {broken[0]}: the training that saved it diverged; use the weights of an earlier epoch"
        )


def _remedy(path: Path) -> str:
    """The end of a message about missing weights: what to do."""
    saved = [file.stem.partition("_net_")[::2] for file in path.parent.glob("*_net_*.pth")]
    if not saved:
        return "train first, or check --name, --epoch and --checkpoints_dir"
    network = path.stem.partition("_net_")[2]
    if epochs := {epoch for epoch, name in saved if name == network}:
        return f"the folder has {list_epochs(epochs)}"
    names = sorted({name for _, name in saved})
    suffixes = [name.removeprefix(network) for name in names if name.startswith(f"{network}_")]
    remedy = f"add --model_suffix {' or --model_suffix '.join(suffixes)}" if suffixes else "check --model"
    return f"the folder has weights of {', '.join(names)}: {remedy}"


def list_epochs(epochs: Collection[str]) -> str:
    """The epochs and iterations whose weights were saved, and how to choose one."""
    numbers = sorted(int(epoch) for epoch in epochs if epoch.isdecimal())
    others = sorted(epoch for epoch in epochs if not epoch.isdecimal() and not epoch.startswith("iter_"))
    iterations = sorted(int(epoch[5:]) for epoch in epochs if re.fullmatch(r"iter_\d+", epoch))
    found = [f"--epoch {_shortened([*others, *numbers])}"] if others or numbers else []
    found += [f"--load_iter {_shortened(iterations)}"] if iterations else []
    return " and ".join(found)


def _shortened(values: Sequence[object]) -> str:
    """At most 30 values as text, the middle ones left out."""
    texts = [str(value) for value in values]
    return ", ".join(texts if len(texts) <= 30 else [*texts[:15], "...", *texts[-14:]])


@dataclass
class Fit:
    """Which parameters of a weight file fit a network, by name."""

    matching: list[str]
    missing: list[str]
    unknown: list[str]
    other_shape: list[str]
    advice: str = ""
    """The options that fit the file and differ from the network's."""

    @property
    def is_complete(self) -> bool:
        return not (self.missing or self.unknown or self.other_shape)

    def __str__(self) -> str:
        counts = (
            f"{len(self.missing)} missing, {len(self.unknown)} unknown and {len(self.other_shape)} differently shaped "
            "parameters"
        )
        example = [*self.missing, *self.unknown, *self.other_shape][:1]
        return counts + (f" (for example {example[0]})" if example else "") + self._fitting()

    def _fitting(self) -> str:
        return f"; the file fits {self.advice}" if self.advice else ""


def compare(network: nn.Module, weights: Mapping[str, Tensor], name: str = "G") -> Fit:
    """How weights fit the network called `name`, after old ones are adapted (see `adapt_old_weights`)."""
    own = network.state_dict()
    advice = layouts.advice(own, weights, name)
    weights = adapt_old_weights(network, weights)
    common = sorted(own.keys() & weights.keys())
    return Fit(
        matching=[key for key in common if own[key].shape == weights[key].shape],
        missing=sorted(own.keys() - weights.keys()),
        unknown=sorted(weights.keys() - own.keys()),
        other_shape=[key for key in common if own[key].shape != weights[key].shape],
        advice=advice,
    )


def refuse_antialiased(path: Path, fit: Fit) -> None:
    """Raise UserError for weights of networks with antialiased sampling, as the authors of CUT published them."""
    blurs = [name for name in fit.unknown if name.endswith(".filt")]
    if blurs:
        raise UserError(
            f"{path} has antialiased sampling ({blurs[0]}), as published CUT weights do; no network here supports it: "
            "only weights trained with --no_antialias --no_antialias_up can be loaded"
        )


def load_weights(networks: Mapping[Path, nn.Module]) -> None:
    """Load weight files of one folder into networks. Old files are adapted, see `adapt_old_weights`.

    Raises UserError, with what doesn't fit, if a file doesn't fit its network.
    """
    for path, weights in read_weights(networks).items():
        fit = compare(networks[path], weights, network_name(path))
        refuse_antialiased(path, fit)
        if not fit.is_complete:
            general = "; use the --netG, --ngf, --norm, --no_dropout and channels it was trained with"
            raise UserError(f"{path} does not fit the network: {fit}{'' if fit.advice else general}")
        networks[path].load_state_dict(adapt_old_weights(networks[path], weights))


def adapt_old_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of an older version of torch, in the layout of today's layers.

    Drops the statistics that old files have for instance norm, and sets a missing `num_batches_tracked` of batch norm
    to 0; both only where the network's own layer is like that.
    """
    weights = dict(weights)
    for prefix, module in network.named_modules():
        if isinstance(module, nn.InstanceNorm2d) and not module.track_running_stats:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                weights.pop(f"{prefix}.{name}", None)
        elif isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            weights.setdefault(f"{prefix}.num_batches_tracked", torch.tensor(0))
    return weights
