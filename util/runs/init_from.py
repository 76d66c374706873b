"""--init_from: a new run that starts from trained weights."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from util.errors import UserError
from util.runs.initial_source import find_source
from util.runs.weights import (
    Fit,
    adapt_old_weights,
    compare,
    list_epochs,
    read_weights,
    refuse_antialiased,
    weights_path,
)


def load_initial_weights(
    networks: Mapping[str, nn.Module], opt: argparse.Namespace, differences: Sequence[str] = ()
) -> None:
    """Load the weights of --init_from into networks, by name, and print what matched.

    `differences` describe the network options that are not those of the run of --init_from. Raises UserError, with
    the differences, if not all parameters match, unless --init_partial is given: the other parameters then keep their
    initialization. Raises UserError if no parameter matches.
    """
    files = find_files(opt.init_from, networks, Path(opt.checkpoints_dir), opt.epoch)
    weights = read_weights({path: networks[name] for name, path in files.items()})
    fits = {name: _fit(name, networks[name], path, weights[path]) for name, path in files.items()}
    lines = [_describe(name, files.get(name), fits.get(name)) for name in networks]
    if not any(fit.matching for fit in fits.values()):
        raise UserError(
            f"--init_from {opt.init_from}: no parameter fits this run's networks ({'; '.join(lines)})"
            + (f"; the networks differ by {', '.join(differences)}" if differences else "")
        )
    is_complete = fits.keys() == networks.keys() and all(fit.is_complete for fit in fits.values())
    if not is_complete and not opt.init_partial:
        raise UserError(
            f"--init_from {opt.init_from} fits only partly ({'; '.join(lines)}): "
            + (f"the networks differ by {', '.join(differences)}: remove that, or " if differences else "")
            + "add --init_partial to load what fits"
        )
    for name, fit in fits.items():
        adapted = adapt_old_weights(networks[name], weights[files[name]])
        networks[name].load_state_dict(networks[name].state_dict() | {key: adapted[key] for key in fit.matching})
    print("\n".join(lines))


def _fit(name: str, network: nn.Module, path: Path, weights: Mapping[str, Tensor]) -> Fit:
    fit = compare(network, weights, name)
    refuse_antialiased(path, fit)
    return fit


def _describe(name: str, path: Path | None, fit: Fit | None) -> str:
    if fit is None:
        return f"net{name}: no file"
    return f"net{name}: {len(fit.matching)} parameters from {path}" + ("" if fit.is_complete else f"; {fit}")


def find_files(source: str, networks: Mapping[str, nn.Module], checkpoints: Path, epoch: str) -> dict[str, Path]:
    """The weight files, by network, of a run, of a folder, or of a single file that is named for its network."""
    path = Path(source)
    if path.is_file():
        named = re.search(r"_net_(.+)\.pth$", path.name)
        if named is None or named[1] not in networks:
            wanted = " or ".join(weights_path(Path(), epoch, name).name for name in networks)
            raise UserError(
                f"--init_from {source}: the file name does not contain the name of the network: rename it to {wanted}"
            )
        return {named[1]: path}
    folder = find_source(source, checkpoints)
    if not folder.is_dir():
        raise UserError(
            f"--init_from {source} is neither a run in --checkpoints_dir {checkpoints} nor a folder nor a file"
        )
    files = {name: weights_path(folder, epoch, name) for name in networks}
    found = {name: file for name, file in files.items() if file.is_file()}
    if not found:
        others = [file.stem.partition("_net_")[::2] for file in folder.glob("*_net_*.pth")]
        epochs = {saved for saved, network in others if network in networks}
        names = sorted({network for _, network in others})
        remedy = f"; the folder has weights of {', '.join(names)}, of another --model" if names else ""
        remedy = f"; the folder has {list_epochs(epochs)}" if epochs else remedy
        raise UserError(
            f"--init_from {source}: {folder} has none of {', '.join(f.name for f in files.values())}{remedy}"
        )
    return found
