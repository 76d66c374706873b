"""The layers of the code: who may import whom, what waits for torch, and how long a function may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"data", "models", "options", "scripts", "tests", "util", "train", "test", "inference"}
MAY_IMPORT = {
    "util": {"util"},
    "data": {"data", "util"},
    "models": {"models", "util"},
    "options": {"options", "data", "models", "util"},
}
LONGEST_FUNCTION = 53  # lines, without the docstring
NOT_OURS = {"fixtures"}  # users' code, as it was written for earlier versions


def files(room: str) -> list[Path]:
    return [path for path in sorted((ROOT / room).rglob("*.py")) if not NOT_OURS & set(path.parts)]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every imported module of a file, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write absolute imports"
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    assert len(files(room)) > 3
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files(room)
        for line, name in imported(path)
        if name.split(".")[0] in ROOMS - MAY_IMPORT[room]
    ]
    assert not wrong


def test_importing_the_options_of_everything_imports_neither_torch_nor_numpy() -> None:
    """--help, and errors in options, must not wait for them."""
    light = [f"{path.parent.name}.{path.stem}" for room in ("data", "models") for path in files(room)]
    light = ["options", "data", "models", *(name for name in light if name.endswith("_options"))]
    assert len(light) > 10
    code = f"import {', '.join(light)}; import sys; print(sorted({{'torch', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of every function and method of a file, without its decorators and docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node, clean=False) else 0
            yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_no_function_is_long() -> None:
    everything = [path for room in ("data", "models", "options", "scripts", "tests", "util") for path in files(room)]
    everything += sorted(ROOT.glob("*.py"))
    lengths = {name: length for path in everything for name, length in functions(path)}
    assert len(lengths) > 500
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
