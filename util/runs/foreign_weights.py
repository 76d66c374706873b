"""Weight files of other code: state dicts inside other dictionaries, and parameter names with prefixes."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from util.errors import UserError

COMPILED = "_orig_mod"  # torch.compile inserts it before the names inside a compiled module
BEGINNINGS = {"model", "net", "scales"}  # of the parameter names in networks here
MAX_DEPTH = 5  # of dictionaries inside each other
Name = tuple[str, ...]  # the parts between the dots


def state_dict(path: Path, content: Any, own: Collection[str]) -> dict[str, Tensor]:
    """The tensors in a file's content for a network with the parameter names `own`, under these names.

    Removes prefixes: those of DataParallel and DDP ("module."), of torch.compile, of the keys of enclosing dictionaries
    ("state_dict"), and of modules that contain the network ("netG."). Names that fit no parameter stay as they are.

    Raises UserError if the content has no tensors by name, or several networks that could be meant.
    """
    found = dict(_tensors(content))
    if not found:
        raise UserError(f"{path} is not the state dict of a network (tensors by name)")
    own_names = {tuple(name.split(".")) for name in own}
    counts = Counter(name[:i] for name in found for i in range(len(name)) if name[i:] in own_names)
    most = max(counts.values(), default=0)
    if 2 * most >= len(own_names):  # fewer: other networks, some of whose parts have the same names
        prefix = _choose(path, [prefix for prefix, count in counts.items() if count == most])
    else:
        prefix = _shared_prefix(found, {name[0] for name in own_names} | BEGINNINGS)
    return {".".join(name[len(prefix) :]): tensor for name, tensor in found.items() if name[: len(prefix)] == prefix}


def _tensors(content: Any, outer: Name = (), depth: int = 0) -> Iterator[tuple[Name, Tensor]]:
    """The tensors in nested dictionaries, by the keys on the way to them."""
    if isinstance(content, Mapping) and depth < MAX_DEPTH and all(isinstance(key, str) for key in content):
        for key, value in content.items():
            name = (*outer, *(part for part in key.split(".") if part != COMPILED))
            if isinstance(value, Tensor):
                yield name, value
            else:
                yield from _tensors(value, name, depth + 1)


def _choose(path: Path, prefixes: list[Name]) -> Name:
    """Of prefixes that fit equally well, the one with the network's name. Raises UserError if there is none."""
    if () in prefixes:
        return ()
    if len(prefixes) > 1:
        name = network_name(path)
        named = [prefix for prefix in prefixes if {f"net{name}", f"net_{name}", name} & set(prefix)]
        if len(named) != 1:
            listed = ", ".join(sorted(".".join(prefix) or "(without a prefix)" for prefix in prefixes))
            raise UserError(
                f"{path} has several networks that fit ({listed}): save the state dict of one in a file of its own"
            )
        prefixes = named
    return prefixes[0]


def _shared_prefix(names: Collection[Name], beginnings: Collection[str]) -> Name:
    """The leading parts that all names share, up to one with which the network's own names begin."""
    shared: list[str] = []
    for parts in zip(*(name[:-1] for name in names), strict=False):
        if len(set(parts)) > 1 or parts[0] in beginnings:
            break
        shared.append(parts[0])
    return tuple(shared)


def network_name(path: Path) -> str:
    """The network that a weight file is named for, such as G_A; "G" for another name."""
    named = re.search(r"_net_(.+)\.pth$", path.name)
    return named[1] if named else "G"


def explain_unreadable(error: Exception) -> str:
    """Why torch can't read a weight file, in one sentence; without its advice to run the code in it."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    if "TorchScript" in text:
        return "it is a TorchScript program, not weights: save the module's state_dict() instead"
    named = re.search(r"(?:GLOBAL|global:?|function) ([A-Za-z_][\w.]*\.\w+)", text)
    if isinstance(error, pickle.UnpicklingError) and named:
        return (
            f"it contains a pickled Python object ({named[1]}), which may run code when loaded: load it where it was "
            "trained and save only the weights, by torch.save(network.state_dict(), path)"
        )
    return f"{type(error).__name__}: {next(iter(text.splitlines()), '')}".rstrip(": ")
