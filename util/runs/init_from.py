"""--init_from: a new run that starts from trained weights."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from util.errors import UserError
from util.runs.checkpoint import adapt_old_weights, compare, read_weights, refuse_antialiased, weights_path


def take_over(networks: Mapping[str, nn.Module], opt: argparse.Namespace) -> None:
    """Fill networks, by name, with the weights of --init_from, and print what matched.

    Raises UserError where something of a network finds no counterpart, or the other way round, unless
    --init_partial, which leaves the rest as it was drawn; and where nothing fits at all.
    """
    files = find_files(opt.init_from, networks, Path(opt.checkpoints_dir), opt.epoch)
    all_weights = read_weights(files.values())
    lines, is_whole, taken = [], True, 0
    for name, network in networks.items():
        path = files.get(name)
        if path is None:
            lines.append(f"net{name}: no file")
            is_whole = False
            continue
        weights = all_weights[path]
        fit = compare(network, weights)
        refuse_antialiased(path, fit)
        is_whole &= fit.is_whole
        taken += len(fit.matching)
        rest = "" if fit.is_whole else f"; {fit}"
        lines.append(f"net{name}: {len(fit.matching)} parameters from {path}{rest}")
        if fit.is_whole or opt.init_partial:
            own = network.state_dict()
            adapted = adapt_old_weights(network, weights)
            network.load_state_dict(own | {key: adapted[key] for key in fit.matching})
    if not taken:
        raise UserError(f"--init_from {opt.init_from}: nothing of it fits this run's networks ({'; '.join(lines)})")
    if not is_whole and not opt.init_partial:
        raise UserError(
            f"--init_from {opt.init_from} fits only in part ({'; '.join(lines)}): --init_partial takes over what fits"
        )
    print("\n".join(lines))


def find_files(source: str, networks: Mapping[str, nn.Module], checkpoints: Path, epoch: str) -> dict[str, Path]:
    """The weight files, by network, of a run's name, of a folder, or of a file that is named for its network."""
    path = Path(source)
    if path.is_file():
        named = re.search(r"_net_(.+)\.pth$", path.name)
        if named is None or named[1] not in networks:
            wanted = " or ".join(weights_path(Path(), epoch, name).name for name in networks)
            raise UserError(f"--init_from {source}: its name does not say for which network it is: call it {wanted}")
        return {named[1]: path}
    run = checkpoints / source
    folder = path if path.is_dir() and not (path.name == source and run.is_dir()) else run
    if not folder.is_dir():
        raise UserError(f"--init_from {source} is no run in --checkpoints_dir {checkpoints}, no folder and no file")
    files = {name: weights_path(folder, epoch, name) for name in networks}
    found = {name: file for name, file in files.items() if file.is_file()}
    if not found:
        raise UserError(f"--init_from {source}: {folder} has none of {', '.join(f.name for f in files.values())}")
    return found
