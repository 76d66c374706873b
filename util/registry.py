"""Finding a class by its name: in a file of a room (models/NAME_model.py), or anywhere as package.module:Class."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from util.errors import UserError


class Registry:
    """The classes of one room, by name: NAME stands in <room>/NAME_<kind>.py, as class Name<Kind>."""

    def __init__(self, room: str, kind: str, option: str, base: tuple[str, str]) -> None:
        self.room, self.kind, self.option, self.base = room, kind, option, base
        self.folder = Path(__file__).resolve().parent.parent / room

    def names(self) -> list[str]:
        """The names in the room itself, sorted."""
        ending = f"_{self.kind}.py"
        files = self.folder.glob(f"*{ending}")
        return sorted(file.name.removesuffix(ending) for file in files if file.name != f"base{ending}")

    def find(self, name: str) -> Any:
        """The class of that name. Raises UserError for a name that isn't known, and lists the known ones."""
        found = self._find_outside(name) if ":" in name else self._find_inside(name)
        base = getattr(importlib.import_module(f"{self.room}.{self.base[0]}"), self.base[1])
        if not (isinstance(found, type) and issubclass(found, base)):
            raise UserError(f"{self.option} {name}: {found!r} is no subclass of {self.room}.{base.__name__}")
        return found

    def _find_inside(self, name: str) -> Any:
        if name not in self.names():
            raise UserError(
                f"{self.option} {name} is not known: choose one of {', '.join(self.names())}, "
                "or give a class of your own as package.module:Class"
            )
        module = importlib.import_module(f"{self.room}.{name}_{self.kind}")
        wanted = (name + self.kind).replace("_", "").lower()
        for attribute, found in vars(module).items():
            if attribute.lower() == wanted:
                return found
        raise UserError(f"{module.__file__} has no class named like {name.title().replace('_', '')}{self.kind.title()}")

    def _find_outside(self, name: str) -> Any:
        module_name, _, class_name = name.partition(":")
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        if not all(part.isidentifier() for part in module_name.split(".")):
            raise UserError(f"{self.option} {name}: expected package.module:Class")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not module_name.startswith(error.name):
                raise
            raise UserError(
                f"{self.option} {name}: no module {error.name} is found in this folder or on PYTHONPATH"
            ) from error
        if not hasattr(module, class_name):
            raise UserError(f"{self.option} {name}: module {module_name} has no {class_name}")
        return getattr(module, class_name)
