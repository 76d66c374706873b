"""Finding classes and functions by name, here or anywhere as package.module:name."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from util import moved
from util.errors import UserError

moved.install()


class Registry:
    """The classes of one room, by name: NAME stands in <room>/NAME_<kind>.py, as class Name<Kind>.

    Its options may stand in <room>/NAME_options.py, as class NameOptions, so that they can be read without torch.
    """

    def __init__(self, room: str, kind: str, option: str, base: tuple[str, str]) -> None:
        self.room, self.kind, self.option, self.base = room, kind, option, base
        self.folder = Path(__file__).resolve().parent.parent / room

    def names(self) -> list[str]:
        """The names in the room itself, sorted."""
        ending = f"_{self.kind}.py"
        files = self.folder.glob(f"*{ending}")
        return sorted(file.name.removesuffix(ending) for file in files if file.name != f"base{ending}")

    def listed_names(self) -> list[str]:
        """The names to offer in help and error messages: without the template, which is there to be copied."""
        return [name for name in self.names() if name != "template"]

    def find(self, name: str) -> Any:
        """The class of that name. Raises UserError for a name that isn't known, and lists the known ones."""
        found = import_outside(self.option, name) if ":" in name else self._find_inside(name, self.kind)
        base = getattr(importlib.import_module(f"{self.room}.{self.base[0]}"), self.base[1])
        if not (isinstance(found, type) and issubclass(found, base)):
            raise UserError(f"{self.option} {name}: {found!r} is not a subclass of {self.room}.{base.__name__}")
        if self._has_options_file(name) and not issubclass(found, self.options(name)):
            raise UserError(
                f"{self.option} {name}: {found.__name__} must inherit the options in {self.room}/{name}_options.py: "
                f"class {found.__name__}({self.options(name).__name__}, {base.__name__})"
            )
        return found

    def options(self, name: str) -> Any:
        """The class with the options of that name, imported without torch where they have a file of their own."""
        return self._find_inside(name, "options") if self._has_options_file(name) else self.find(name)

    def _has_options_file(self, name: str) -> bool:
        return ":" not in name and (self.folder / f"{name}_options.py").is_file()

    def all_options(self) -> list[Any]:
        """The classes with the options of all listed names."""
        return [self.options(name) for name in self.listed_names()]

    def _find_inside(self, name: str, kind: str) -> Any:
        if name not in self.names():
            raise UserError(
                f"{self.option} {name} is unknown: choose one of {', '.join(self.listed_names())}, "
                "or your own as package.module:Class"
            )
        module = importlib.import_module(f"{self.room}.{name}_{kind}")
        wanted = (name + kind).replace("_", "").lower()
        for attribute, found in vars(module).items():
            if attribute.lower() == wanted:
                return found
        raise UserError(f"{module.__file__} has no class named like {name.title().replace('_', '')}{kind.title()}")


class Catalog:
    """Functions or classes by name, each imported only when it is found, so that options can list the names.

    A name that contains a colon, package.module:name, is found outside of this tree.
    """

    def __init__(self, option: str, entries: Mapping[str, str]) -> None:
        """`option` takes the names; `entries` are package.module:name, by name."""
        self.option, self.entries = option, entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def find(self, name: str) -> Any:
        """The function or class of that name. Raises UserError if the name is unknown."""
        if name in self.entries:
            module_name, _, attribute = self.entries[name].partition(":")
            return getattr(importlib.import_module(module_name), attribute)
        if ":" in name:
            return import_outside(self.option, name)
        raise UserError(f"{self.option} {self._explain(name)}")

    def checked(self, name: str) -> str:
        """The name itself: as argparse's `type`, which accepts the known names and package.module:name."""
        if name not in self.entries and ":" not in name:
            raise argparse.ArgumentTypeError(self._explain(name))
        if ":" in name:
            try:
                self.find(name)
            except UserError as error:
                raise argparse.ArgumentTypeError(str(error).removeprefix(f"{self.option} ")) from error
        return name

    def _explain(self, name: str) -> str:
        near = difflib.get_close_matches(name.lower(), list(self.entries), n=1, cutoff=0.6)
        guess = f"; did you mean {near[0]}?" if near else ""
        return f"{name} is unknown: choose one of {', '.join(self.entries)}, or your own as package.module:name{guess}"


def call_with_accepted(function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a function, or class, with those of the keyword arguments that it accepts.

    Raises TypeError if it is not callable, or needs other arguments.
    """
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return function(**arguments)
    return function(**{name: value for name, value in arguments.items() if name in parameters})


def import_outside(option: str, name: str) -> Any:
    """What package.module:Name names, found in the working folder or on PYTHONPATH.

    Raises UserError, which begins with `option`, if there is no such module or name.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise UserError(f"{option} {name}: expected package.module:name")
    module = _import_outside(option, name, module_name)
    if not hasattr(module, attribute):
        raise UserError(f"{option} {name}: module {module_name} has no {attribute}")
    return getattr(module, attribute)


def _import_outside(option: str, name: str, module_name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise UserError(f"{option} {name}: no module {error.name} is found in this folder or on PYTHONPATH") from error
