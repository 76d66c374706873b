"""The folder of a test's results: a repeated test replaces its earlier results, another test gets another folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from util.files import atomic_write, replace_folder

RECORD = "test.json"
"""In each folder of results: the options of the test, by which a repetition is recognized."""
MOST_NAMED = 4
"""Differences that a folder's name mentions."""
MOST_CHARACTERS = 100
"""Longest part of a folder's name that mentions differences."""
IMPLIED = {"model": ("dataset_mode", "no_dropout", "norm", "netG"), "crop_size": ("load_size",)}
"""Options that usually follow from another one: a name that mentions the other one omits them."""


class ResultsFolder:
    """Results are written to <folder>_partial, which is renamed when it is complete.

    `folder` is <results>/<phase>_<epoch> for the first test. A test with the same options replaces the results there.
    A test with other options gets a folder with a suffix that names the difference. So no test destroys the results of
    another one, and after an interruption the earlier results are unchanged.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any], partial: Path | None = None) -> None:
        """Create the partial folder, or join it.

        Args:
            folder: of the first test.
            options: all that the results depend on, by name; paths must be absolute.
            partial: the partial folder that rank 0 has created, for other ranks.
        """
        self.folder = folder
        paths = {name: _relative(str(options[name]), folder) for name in ("run", "dataroot") if name in options}
        self.options: dict[str, Any] = json.loads(json.dumps({**options, **paths}))
        self.partial = partial or self._create_partial()

    def _create_partial(self) -> Path:
        """Create the first of <folder>_partial, <folder>_partial_2, ... that no other test has left or is using."""
        partial = _first_free(f"{self.folder}_partial", self._can_begin)
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        self._write_record(partial, pid=os.getpid(), host=socket.gethostname())
        return partial

    def _can_begin(self, partial: Path) -> bool:
        """Whether a partial folder does not exist, or an interrupted test with the same options has left it."""
        return not partial.exists() or (self._is_same(_read(partial)["options"]) and not _is_running(_read(partial)))

    def _write_record(self, folder: Path, **process: Any) -> None:
        atomic_write(folder / RECORD, json.dumps({"options": self.options, **process}, indent=2) + "\n")

    def _is_same(self, others: Mapping[str, Any]) -> bool:
        return bool(others) and not self._differences(others)

    def _differences(self, others: Mapping[str, Any]) -> list[str]:
        """The names of the options that differ from those of another test; a version may not have an option."""
        return [name for name in self.options if name in others and others[name] != self.options[name]]

    def publish(self) -> tuple[Path, str]:
        """Rename the complete partial folder to its final name, in place of the results of the same test.

        Returns the folder, and a note for the user if other results are in the folder that the test would have had.
        """
        target, note = self._target()
        self._write_record(self.partial)
        replace_folder(self.partial, target)
        return target, note

    def find(self, **options: Any) -> Path | None:
        """The folder of the results of a test that differs from this one in these options only."""
        wanted = self.options | options
        for record in sorted(self.folder.parent.glob(f"*/{RECORD}")):
            found = _read(record.parent)
            if found["options"] == wanted and "pid" not in found:
                return record.parent
        return None

    def _target(self) -> tuple[Path, str]:
        for other in sorted(self.folder.parent.glob(f"{_escaped(self.folder.name)}*/{RECORD}")):
            is_partial = other.parent.name.startswith(f"{self.folder.name}_partial")
            if not is_partial and self._is_same(_read(other.parent)["options"]):
                return other.parent, self._note(other.parent)
        if not self.folder.exists():
            return self.folder, ""
        others = _read(self.folder)["options"]
        if not others:  # of an earlier version, which recorded no options
            earlier = _first_free(f"{self.folder}_earlier", lambda path: not path.exists())
            os.replace(self.folder, earlier)
            return self.folder, f"note: the earlier results in {self.folder} are now in {earlier}"
        target = _first_free(f"{self.folder}_{self._suffix(others)}", lambda path: not path.exists())
        return target, self._note(target)

    def _note(self, target: Path) -> str:
        differences = self._named_differences(_read(self.folder)["options"])
        if target == self.folder or not differences:
            return ""
        return f"note: {self.folder} has the results of a test with another {', '.join(differences)}"

    def _named_differences(self, others: Mapping[str, Any]) -> list[str]:
        """The options that differ from those of another test, without those that follow from others of them."""
        names = self._differences(others)
        implied = {follower for name in names for follower in IMPLIED.get(name, ())}
        return [name for name in names if name not in implied]

    def _suffix(self, others: Mapping[str, Any]) -> str:
        """The part of a folder's name that mentions what differs from another test."""
        named = self._named_differences(others)
        if "model" in named and self.options.get("model_suffix") and "model_suffix" not in named:
            named.insert(named.index("model") + 1, "model_suffix")
        words = [_words(name, self.options[name]) for name in named[:MOST_NAMED]]
        return re.sub(r"_{2,}", "_", "_".join(words))[:MOST_CHARACTERS].rstrip("_.")


def _words(name: str, value: Any) -> str:
    """An option and its value as a part of a folder's name."""
    if value is True:
        return name
    text = Path(value).name if name in ("run", "dataroot") else str(value)
    return f"{name}_{re.sub(r'[^a-zA-Z0-9.,+-]', '_', text)}"


def _relative(path: str, folder: Path) -> str:
    """A path relative to the results, so that a project that was moved as a whole still recognizes them."""
    try:
        return Path(os.path.relpath(path, folder.parent.resolve())).as_posix()
    except ValueError:  # another drive, on Windows
        return path


def _read(folder: Path) -> dict[str, Any]:
    """The record of a folder; without options if there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {**record, "options": dict(record["options"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"options": {}}


def _is_running(record: Mapping[str, Any]) -> bool:
    """Whether the process that created a partial folder still runs, where that can be known."""
    pid = record.get("pid")
    if os.name == "nt" or record.get("host") != socket.gethostname() or not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _first_free(start: str, is_free: Any) -> Path:
    """The first of the paths <start>, <start>_2, <start>_3, ... that is free."""
    path, count = Path(start), 1
    while not is_free(path):
        count += 1
        path = Path(f"{start}_{count}")
    return path


def _escaped(name: str) -> str:
    """A name in which characters that `glob` interprets stand for themselves."""
    return re.sub(r"([\[?*])", r"[\1]", name)
