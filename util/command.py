"""Commands that messages print: they can be pasted into the shell that the program was started from."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def script_command(script: str, arguments: Sequence[str], processes: int = 1, machines: Sequence[str] = ()) -> str:
    """The command that starts a script of this repository from the working folder, quoted for a shell.

    `machines`: torchrun's options for a job on several machines, each of which needs this command.
    """
    torchrun = ["torchrun", *machines, f"--nproc_per_node={processes}"]
    program = torchrun if machines or processes > 1 else ["python"]
    return shlex.join([*program, path_from_here(script), *arguments])


def path_from_here(file: str) -> str:
    """The path of a file of this repository from the working folder."""
    return file if Path.cwd() == ROOT else _shorter(ROOT / file)


def flag(name: str, value: object) -> list[str]:
    """An option and its value; with an equals sign if the value would be taken for an option itself."""
    text = str(value)
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def _shorter(path: Path) -> str:
    try:
        relative = os.path.relpath(path)
    except ValueError:  # on another drive of Windows
        return str(path)
    return min(relative, str(path), key=len)
