"""The live monitors, by name: NAME is util/monitors/NAME_monitor.py, a module with two functions.

    is_requested(opt) -> bool                              whether the options ask for it
    create(opt, history, print_message, scores) -> Monitor see util.monitors.base; imports what only it needs

A new file is all that a new monitor needs. A monitor from outside this tree is `--monitor package.module:name`, where
name is a function, or a class, with the arguments of `create`.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from util.errors import UserError
from util.monitors.base import Monitor, print_line
from util.registry import import_outside

METHODS = ("add_losses", "show_images", "close")
ENDING = "_monitor.py"
History = Sequence[Mapping[str, float]]
Create = Callable[..., Monitor]


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
    opt: argparse.Namespace,
    history: History,
    print_message: Callable[[str], None] = print_line,
    scores: History = (),
) -> list[Monitor]:
    """The monitors that the options ask for.

    Args:
        history: the lines of losses.jsonl so far, when a run is resumed: the monitors restore their curves from them.
        scores: likewise, the lines of metrics.jsonl.
        print_message: prints a line for the user, from any thread, without breaking a progress bar.

    Raises:
        UserError: a monitor can't start, such as wandb without a login.
    """
    creates: list[Create] = [module.create for module in map(find, names()) if module.is_requested(opt)]
    if outside := getattr(opt, "monitor", None):
        creates.append(find_outside(outside))
    return [GuardedMonitor(_call(create, opt, history, print_message, scores), print_message) for create in creates]


def _call(
    create: Create, opt: argparse.Namespace, history: History, print_message: Callable[[str], None], scores: History
) -> Monitor:
    """Create a monitor, with the scores if it accepts them: one from outside may be older than they are."""
    if "scores" in inspect.signature(create).parameters:
        return create(opt, history, print_message, scores=scores)
    return create(opt, history, print_message)


class GuardedMonitor:
    """A monitor that is no longer used once it has raised: training does not depend on being watched."""

    def __init__(self, monitor: Monitor, print_message: Callable[[str], None]) -> None:
        """Raises UserError if the monitor lacks one of its three methods."""
        self.monitor, self.print_message, self.has_failed = monitor, print_message, False
        missing = [name for name in METHODS if not callable(getattr(monitor, name, None))]
        if missing:
            raise UserError(f"the monitor {type(monitor).__name__} has no method {' and no '.join(missing)}")

    def add_losses(self, record: Mapping[str, float]) -> None:
        self._call("add_losses", record)

    def add_scores(self, record: Mapping[str, float]) -> None:
        if hasattr(self.monitor, "add_scores"):
            self._call("add_scores", record)

    def show_images(self, visuals: Mapping[str, Any], epoch: int, images: int) -> None:
        self._call("show_images", visuals, epoch, images)

    def close(self) -> None:
        self._call("close")

    def _call(self, method: str, *arguments: Any) -> None:
        if self.has_failed:
            return
        try:
            getattr(self.monitor, method)(*arguments)
        except Exception as error:
            self.has_failed = True
            name, reason = type(self.monitor).__name__, f"{type(error).__name__}: {error}"
            self.print_message(f"warning: {name}.{method} failed ({reason}): this monitor is no longer used")
