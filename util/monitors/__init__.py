"""The live monitors, by name: NAME is util/monitors/NAME_monitor.py, a module with two functions.

    is_requested(opt) -> bool                              whether the options ask for it
    create(opt, history, print_message) -> Monitor         see util.monitors.base; imports what only it needs

A new file is all that a new monitor needs. A monitor from outside this tree is `--monitor package.module:name`, where
name is a function, or a class, with the arguments of `create`.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from util.errors import UserError
from util.monitors.base import Monitor, print_line
from util.registry import import_outside

ENDING = "_monitor.py"
History = Sequence[Mapping[str, float]]
Create = Callable[[argparse.Namespace, History, Callable[[str], None]], Monitor]


def names() -> list[str]:
    """The names of the monitors in this folder, sorted."""
    return sorted(file.name.removesuffix(ENDING) for file in Path(__file__).parent.glob(f"*{ENDING}"))


def find(name: str) -> ModuleType:
    """The module of a monitor in this folder."""
    return importlib.import_module(f"util.monitors.{name}_monitor")


def find_outside(name: str) -> Create:
    """The function, or class, that --monitor names. Raises UserError if there is none."""
    if ":" not in name:
        raise UserError(f"--monitor {name}: expected package.module:name")
    create: Create = import_outside("--monitor", name)
    if not callable(create):
        raise UserError(f"--monitor {name}: expected a function or a class, not {type(create).__name__}")
    return create


def create_monitors(
    opt: argparse.Namespace, history: History, print_message: Callable[[str], None] = print_line
) -> list[Monitor]:
    """The monitors that the options ask for.

    Args:
        history: the lines of losses.jsonl so far, when a run is resumed: the monitors restore their curves from them.
        print_message: prints a line for the user, from any thread, without breaking a progress bar.

    Raises:
        UserError: a monitor can't start, such as wandb without a login.
    """
    creates: list[Create] = [module.create for module in map(find, names()) if module.is_requested(opt)]
    if outside := getattr(opt, "monitor", None):
        creates.append(find_outside(outside))
    return [create(opt, history, print_message) for create in creates]
