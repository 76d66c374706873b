"""Earlier names of modules, functions and methods still work, with a warning that names the new one."""

from __future__ import annotations

import importlib
import sys

import pytest

from util import moved
from util.runtime.processes import OLD_NAMES, Processes


@pytest.mark.parametrize("name", moved.MOVED)
def test_old_modules_are_found(name: str) -> None:
    sys.modules.pop(name, None)
    with pytest.warns(FutureWarning, match=f"{name} is now {moved.MOVED[name]}: import it from there"):
        old = importlib.import_module(name)
    today = importlib.import_module(moved.MOVED[name])
    public = [attribute for attribute in vars(today) if not attribute.startswith("_")]
    assert public and all(getattr(old, attribute) is getattr(today, attribute) for attribute in public)


RENAMED = [(module, name) for module, names in moved.RENAMED.items() for name in names]
RENAMED += [("util.lab", "split_colours"), ("models.labels", "to_colours"), ("models.base_model", "RunningMean")]
RENAMED += [("util.runtime", "get_device"), ("models.architectures", "GAN_MODES")]
RENAMED += [("models.architectures", "check_generator_size"), ("models.pix2pix_model", "refuse_chance_pairs")]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("module", "name"), RENAMED)
def test_old_names_are_found(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module(module).no_such_name  # noqa: B018  # asking for it is the point


@pytest.mark.parametrize("name", OLD_NAMES)
def test_old_names_of_processes_are_found(name: str) -> None:
    with pytest.warns(FutureWarning, match=f"Processes.{name} is now {OLD_NAMES[name]}"):
        getattr(Processes(), name)
    assert not hasattr(Processes(), "no_such_name")
