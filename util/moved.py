"""Modules under the names that they had before: models and datasets written for those keep working, with a warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "data.image_cache": "data.cache",
    "data.image_reader": "data.formats.image_reader",
    "models.augmentation": "models.objectives.augmentation",
    "models.contrastive": "models.objectives.contrastive",
    "models.convolutions": "models.networks.convolutions",
    "models.dcgan_networks": "models.networks.dcgan_networks",
    "models.discriminators": "models.networks.discriminators",
    "models.generators": "models.networks.generators",
    "models.layers": "models.networks.layers",
    "models.losses": "models.objectives.losses",
    "models.perceptual_loss": "models.objectives.perceptual_loss",
    "models.winograd": "models.networks.winograd",
    "util.checkpoint": "util.runs.weights",
    "util.image_pool": "models.image_pool",
    "util.lazy": "util.moved",
    "util.metrics": "util.evaluation.metrics",
    "util.processes": "util.runtime.processes",
    "util.progress": "util.runs.progress",
    "util.stop_signal": "util.runtime.stop_signal",
}


def lazy_import(*names: str) -> Any:
    """The modules of these names (one alone, or a tuple). Once they waited to be used; now import as usual."""
    modules = tuple(importlib.import_module(name) for name in names)
    return modules[0] if len(modules) == 1 else modules


class MovedModules(MetaPathFinder, Loader):
    """Finds a module under its old name: the same module object as under the new one."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        warnings.warn(f"{name} is now {MOVED[name]}: import it from there", FutureWarning, stacklevel=2)
        sys.modules[name] = importlib.import_module(MOVED[name])


def install() -> None:
    """Make the old names known; called once, by util.registry."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
