"""Modules that wait until they are used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from util.lazy import lazy_import


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that nothing has imported yet."""
    (tmp_path / "late_module.py").write_text("value = 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "late_module", raising=False)
    return "late_module"


def test_a_module_is_imported_when_it_is_used(late: str) -> None:
    module = lazy_import(late)
    assert late not in sys.modules
    assert module.value == 5
    assert late in sys.modules
    with pytest.raises(AttributeError, match="no_such_thing"):
        module.no_such_thing  # noqa: B018  # asking for it is the point


def test_several_come_as_a_tuple(late: str) -> None:
    one, other = lazy_import(late, "os.path")
    assert one.value == 5 and other.join("a", "b").startswith("a")
