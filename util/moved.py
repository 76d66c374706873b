"""Modules, functions and classes under their earlier names: users' code that has them keeps working, with a warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
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
    "models.finite_watch": "models.non_finite_guard",
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

# Names in these modules that are different now, or in another module.
RENAMED = {
    "models.augmentation": {
        "Draws": "models.objectives.augmentation:AugmentationParameters",
        "change_colours": "models.objectives.augmentation:jitter_colors",
        "cut_out": "models.objectives.augmentation:cutout",
        "move": "models.objectives.augmentation:translate",
    },
    "models.convolutions": {"choose_way": "models.networks.convolutions:set_conv_algorithm"},
    "models.finite_watch": {"FiniteWatch": "models.non_finite_guard:NonFiniteGuard"},
    "models.layers": {
        "halve": "models.networks.layers:downsample",
        "mixes_images": "models.networks.layers:uses_batch_statistics",
    },
    "models.losses": {"in_full": "models.objectives.losses:upcast"},
    "models.perceptual_loss": {"standardize": "models.objectives.perceptual_loss:normalize"},
    "util.checkpoint": {
        "Checkpoint": "util.runs.checkpoint:Checkpoint",
        "snapshot": "util.runs.checkpoint:snapshot",
    },
    "util.progress": {"Console": "util.monitors.console:Console"},
}


def lazy_import(*names: str) -> Any:
    """The modules of these names (one alone, or a tuple). Once they waited to be used; now import as usual."""
    modules = tuple(importlib.import_module(name) for name in names)
    return modules[0] if len(modules) == 1 else modules


def old_names(module: str, **targets: str) -> Callable[[str], Any]:
    """A `__getattr__` for a module that finds old names, each given with its package.module:name of today."""

    def find(name: str) -> Any:
        if name not in targets:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new_module, _, new_name = targets[name].partition(":")
        warnings.warn(f"{module}.{name} is now {new_module}.{new_name}", FutureWarning, stacklevel=2)
        return getattr(importlib.import_module(new_module), new_name)

    return find


class MovedModules(MetaPathFinder, Loader):
    """Finds a module under its old name: the module of today, with the names that it had."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        warnings.warn(f"{name} is now {MOVED[name]}: import it from there", FutureWarning, stacklevel=2)
        today = importlib.import_module(MOVED[name])
        renamed = old_names(name, **RENAMED.get(name, {}))

        def find(attribute: str) -> Any:
            return getattr(today, attribute) if hasattr(today, attribute) else renamed(attribute)

        module.__dict__["__getattr__"] = find


def install() -> None:
    """Make the old names known; called once, by util.registry."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
