"""Finding a class by its name: in a file of a room (models/NAME_model.py), or anywhere as package.module:Class."""

from __future__ import annotations

import importlib
import sys
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
            raise UserError(f"{self.option} {name}: {found!r} is no subclass of {self.room}.{base.__name__}")
        return found

    def options(self, name: str) -> Any:
        """The class with the options of that name, imported without torch where they have a file of their own."""
        has_file = ":" not in name and (self.folder / f"{name}_options.py").is_file()
        return self._find_inside(name, "options") if has_file else self.find(name)

    def _find_inside(self, name: str, kind: str) -> Any:
        if name not in self.names():
            raise UserError(
                f"{self.option} {name} is not known: choose one of {', '.join(self.listed_names())}, "
                "or give a class of your own as package.module:Class"
            )
        module = importlib.import_module(f"{self.room}.{name}_{kind}")
        wanted = (name + kind).replace("_", "").lower()
        for attribute, found in vars(module).items():
            if attribute.lower() == wanted:
                return found
        raise UserError(f"{module.__file__} has no class named like {name.title().replace('_', '')}{kind.title()}")


def import_outside(option: str, name: str) -> Any:
    """What package.module:Name names, found in the working folder or on PYTHONPATH.

    Raises UserError, which begins with `option`, if there is no such module or name.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise UserError(f"{option} {name}: expected package.module:Class")
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
