"""Finding the images in a folder."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from data.formats.opening import IMAGE_EXTENSIONS, SKIPPED_FOLDERS
from util.errors import UserError


class ImageFiles(Sequence[Path]):
    """A sequence of paths stored as one block of bytes: a million Path objects take 320 MB in each worker.

    `names` yields the same paths as strings, faster.
    """

    def __init__(self, names: Sequence[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        self._block = b"".join(encoded)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> list[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | list[Path]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return Path(self._name(index % len(self)))

    def names(self) -> Iterator[str]:
        """The paths in order, as strings."""
        start = 0
        for end in self._ends.tolist():
            yield os.fsdecode(self._block[start:end])
            start = end

    def _name(self, index: int) -> str:
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._block[start : int(self._ends[index])])


class IgnoredFiles(Counter[str]):
    """The number of files that are not images, by extension, and the paths of the first of them."""

    MAX_NAMES = 100

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:  # with an argument when it is unpickled
        super().__init__(counts or {})
        self.names: list[str] = []

    def add(self, path: str) -> None:
        self[os.path.splitext(path)[1].lower() or "no extension"] += 1
        if len(self.names) < self.MAX_NAMES:
            self.names.append(path)

    def describe(self, verbose: bool) -> str:
        """Their number in parentheses, for the line about a dataset; with `verbose`, their names too."""
        if not self:
            return ""
        more = ", ..." if self.total() > len(self.names) else ""
        return f" ({self.total()} other files ignored{': ' + ', '.join(self.names) + more if verbose else ''})"


def list_images(
    folder: Path, limit: int | None = None, ignored: IgnoredFiles | None = None
) -> tuple[ImageFiles, IgnoredFiles]:
    """The image files in a folder and its subfolders, sorted by name, and the other files, added to `ignored` if given.

    Hidden files and folders, and SKIPPED_FOLDERS, are skipped. A folder that symbolic links reach twice is read once.
    At most `limit` images are returned. Raises UserError if there is no image, or a folder can't be listed.
    """
    ignored = IgnoredFiles() if ignored is None else ignored
    images: list[str] = []
    _scan(str(folder), images, ignored, set())
    if not images:
        others = f" among its {ignored.total()} files" if ignored else ""
        raise UserError(f"{folder} contains no image{others}: expected files ending in {', '.join(IMAGE_EXTENSIONS)}")
    return ImageFiles(images[:limit]), ignored


def _scan(folder: str, images: list[str], ignored: IgnoredFiles, seen: set[str]) -> None:
    """Add the files in a folder and its subfolders, in the order of their paths compared part by part."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS]
            found = sorted((entry.name, _is_folder(entry)) for entry in shown)
    except OSError as error:
        raise UserError(
            f"{error.filename} can't be listed ({error.strerror}): make it readable, or remove it"
        ) from error
    start = os.path.join(folder, "")
    for name, is_folder in found:
        if is_folder:
            _scan(start + name, images, ignored, seen)
        elif name.endswith(IMAGE_EXTENSIONS) or name.lower().endswith(IMAGE_EXTENSIONS):
            images.append(start + name)
        else:
            ignored.add(start + name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to a folder without permission
        return False


def match_names(
    folders: Sequence[Path], ignored: IgnoredFiles | None = None
) -> tuple[list[tuple[Path, ...]], list[Path]]:
    """Tuples of images with the same name in all folders (apart from the extension), in order; and the other images.

    Raises UserError if no name is in all folders, or two images in a folder have the same name.
    """
    named = [_by_name(folder, ignored) for folder in folders]
    common = set.intersection(*(set(names) for names in named))
    if not common:
        examples = " and ".join(str(next(iter(names.values()))) for names in named)
        raise UserError(
            f"{' and '.join(map(str, folders))} have no file name in common ({examples}, for example): the two images "
            "of a pair need the same name"
        )
    others = [path for names in named for name, path in names.items() if name not in common]
    return [tuple(names[name] for names in named) for name in named[0] if name in common], others


def _by_name(folder: Path, ignored: IgnoredFiles | None) -> dict[Path, Path]:
    """The images of a folder by their path below it, without the extension."""
    found: dict[Path, Path] = {}
    for path in list_images(folder, ignored=ignored)[0]:
        other = found.setdefault(path.relative_to(folder).with_suffix(""), path)
        if other != path:
            raise UserError(f"{other} and {path.name} have the same name: remove one of them")
    return found


def explain_missing(dataroot: Path, wanted: list[str], *alternatives: list[str]) -> str:
    """The error message for a dataset folder without the subfolders `wanted`, according to its actual content.

    `alternatives` are other subfolders, of which one list would do; they are searched for near `dataroot` only.
    """
    expected = " and ".join(str(dataroot / name) for name in wanted)
    entries = sorted(os.listdir(dataroot)) if dataroot.is_dir() else []
    split = [name[:-1] + "/" + name[-1] for name in wanted if (dataroot / name[:-1] / name[-1]).is_dir()]
    if split:
        return f"--dataroot {dataroot} contains {' and '.join(split)}: rename them to {' and '.join(wanted)}"
    if found := _near(dataroot, [wanted, *alternatives]):
        better = " or ".join(f"--dataroot {shlex.quote(str(path))}" for path in found)
        reason = f"does not contain {' and '.join(wanted)}" if dataroot.exists() else "does not exist"
        return f"--dataroot {dataroot} {reason}: use {better}"
    if not dataroot.exists():
        return f"--dataroot {dataroot} does not exist: expected {expected}"
    if not dataroot.is_dir():
        return f"--dataroot {dataroot} is a file: expected a folder that contains {' and '.join(wanted)}"
    if other_case := [name for name in entries if name not in wanted and _plain(name) in map(_plain, wanted)]:
        return f"--dataroot {dataroot} contains {' and '.join(other_case)}: rename them to {' and '.join(wanted)}"
    if any(os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS for name in entries):
        return (
            f"--dataroot {dataroot} contains images directly: put them into {expected} "
            "(test.py translates one folder with --model test)"
        )
    found_there = ", ".join(entries[:8]) + (", ..." if len(entries) > 8 else "") if entries else "nothing"
    return f"--dataroot {dataroot} contains {found_there}: expected {' and '.join(wanted)} in it (see --phase)"


def _plain(name: str) -> str:
    """The name of a folder without case and separators: trainA, train_A, TrainA."""
    return re.sub(r"[-_ ]", "", name).lower()


def _near(dataroot: Path, alternatives: Sequence[list[str]]) -> list[Path]:
    """The folders above, in or named like `dataroot` that contain the subfolders of one of the alternatives."""

    def usable(paths: Iterable[Path]) -> list[Path]:
        return [path for path in paths if any(all((path / name).is_dir() for name in names) for names in alternatives)]

    if dataroot.is_dir():
        parts = {name.rstrip("AB") for names in alternatives for name in names} | {"train", "test", "val"}
        name, parent = dataroot.resolve().name, dataroot.resolve().parent.name
        above = [dataroot / ".." if dataroot.name in ("", "..") else dataroot.parent] if _starts(name, parts) else []
        above += [dataroot.parent.parent] if name in ("A", "B") and _starts(parent, parts) else []
        return usable(above) or usable(path for path in sorted(dataroot.iterdir()) if path.is_dir())[:3]
    if dataroot.exists():
        return []
    places = [place for place in (dataroot.parent, Path("datasets"), Path("data")) if place.is_dir()]
    near = [
        place / name
        for place in places
        for name in difflib.get_close_matches(dataroot.name, os.listdir(place), n=3, cutoff=0.8)
    ]
    return usable(dict.fromkeys(near))[:3]


def _starts(name: str, parts: Iterable[str]) -> bool:
    """Whether a folder is one of those for a phase: train, trainA, test_B."""
    return any(re.fullmatch(rf"{re.escape(part)}_?[AB]?", name, re.IGNORECASE) for part in parts)
