"""Modules that are imported when they are first used, so that `--help` need not wait for torch."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for a module and imports it when an attribute of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def lazy_import(*names: str) -> Any:
    """The modules of these names as LazyModule (one alone, or a tuple), to unpack into module-level names.

    For the files that hold both options and code (`models/*_model.py`, `data/*_dataset.py`): to keep type
    checking, import the same modules under `if TYPE_CHECKING:`.
    """
    modules = tuple(LazyModule(name) for name in names)
    return modules[0] if len(modules) == 1 else modules
