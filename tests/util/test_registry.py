"""Models and datasets by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from data import DATASETS
from models import MODELS
from models.base_model import BaseModel
from util.errors import UserError
from util.registry import Registry


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a package of the user's own."""
    package = tmp_path / f"package_{tmp_path.name.replace('-', '_')}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text(
        "from models.base_model import BaseModel\nclass Mine(BaseModel): ...\nclass Other: ...\nnumber = 5\n"
    )
    (package / "broken.py").write_text("import math\nmath.no_such_function\nclass Mine: ...\n")
    (package / "needy.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path])
    return package


def test_names_are_those_of_the_files() -> None:
    for registry, kind in ((MODELS, "model"), (DATASETS, "dataset")):
        names = registry.names()
        assert "template" in names and "base" not in names
        assert all((registry.folder / f"{name}_{kind}.py").is_file() for name in names)


@pytest.mark.parametrize("registry", [MODELS, DATASETS], ids=["models", "datasets"])
def test_every_name_is_found_as_its_class(registry: Registry) -> None:
    for name in registry.names():
        found = registry.find(name)
        assert found.__name__.lower() == f"{name}{registry.kind}".replace("_", "")
        assert not found.__abstractmethods__


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r"^--model cyclegan is not known: choose one of .*cycle_gan.*, pix2pix_hd, test, or"
    ):
        MODELS.find("cyclegan")
    with pytest.raises(UserError, match=r"^--dataset_mode base is not known: .*single.*unaligned"):
        DATASETS.find("base")


def test_a_class_of_the_users_own_is_found(own: Path) -> None:
    found = MODELS.find(f"{own.name}.good:Mine")
    assert issubclass(found, BaseModel) and found.__name__ == "Mine"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("{own}.good:Other", r"--model \S+:Other: <class .*> is not a subclass of models\.BaseModel"),
        ("{own}.good:number", "is not a subclass of models.BaseModel"),
        ("{own}.good:Nobody", r"module \S+\.good has no Nobody"),
        ("{own}.nothing:Mine", r"no module \S+\.nothing is found in this folder or on PYTHONPATH"),
        ("no_such_package:Mine", "no module no_such_package is found"),
        ("{own}.good:", "has no "),
        (":Mine", "--model :Mine"),
        (".good:Mine", "--model .good:Mine"),
    ],
)
def test_a_wrong_name_of_a_class_is_explained(own: Path, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        MODELS.find(name.format(own=own.name))


def test_a_mistake_inside_the_users_module_shows_as_it_is(own: Path) -> None:
    with pytest.raises(AttributeError, match="no_such_function"):
        MODELS.find(f"{own.name}.broken:Mine")
    with pytest.raises(ModuleNotFoundError, match="no_such_package_at_all"):
        MODELS.find(f"{own.name}.needy:Mine")


def test_a_file_without_its_class_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models_elsewhere").mkdir()
    (tmp_path / "models_elsewhere" / "half_model.py").write_text("class Wrong: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("models_elsewhere", "model", "--model", ("base_model", "BaseModel"))
    registry.folder = tmp_path / "models_elsewhere"
    assert registry.names() == ["half"]
    with pytest.raises(UserError, match=r"half_model\.py has no class named like HalfModel"):
        registry.find("half")
