"""Finding the images in a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data.image_reader import IMAGE_EXTENSIONS
from util.errors import UserError


def list_images(folder: Path, limit: int | None = None) -> tuple[list[Path], Counter[str]]:
    """The image files in a folder and the folders in it, by name; and how many others, by extension.

    Hidden files and folders are neither. A folder that is met twice, through a symbolic link, is read once.
    Raises UserError where there is no image.
    """
    images: list[str] = []
    ignored: Counter[str] = Counter()
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            extension = os.path.splitext(name)[1].lower()
            if extension in IMAGE_EXTENSIONS:
                images.append(os.path.join(parent, name))
            else:
                ignored[extension or "no extension"] += 1
    if not images:
        others = f" among its {ignored.total()} files" if ignored else ""
        raise UserError(f"{folder} has no image{others}: expected files ending in {', '.join(IMAGE_EXTENSIONS)}")
    images.sort(key=lambda name: name.split(os.sep))  # as paths, folder by folder
    return [Path(name) for name in images[:limit]], ignored


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename} can't be listed ({error.strerror}): make it readable, or remove it") from error


def match_names(folders: Sequence[Path]) -> tuple[list[tuple[Path, ...]], list[Path]]:
    """The images of several folders that have the same name (their ending aside), together, in order; and the others.

    Raises UserError where no name is in all of them, or one stands twice in a folder.
    """
    named = [_by_name(folder) for folder in folders]
    common = set.intersection(*(set(names) for names in named))
    if not common:
        examples = " and ".join(str(next(iter(names.values()))) for names in named)
        raise UserError(
            f"{' and '.join(map(str, folders))} have no file name in common, such as {examples}: the two images of a "
            "pair have the same name"
        )
    others = [path for names in named for name, path in names.items() if name not in common]
    return [tuple(names[name] for names in named) for name in named[0] if name in common], others


def _by_name(folder: Path) -> dict[Path, Path]:
    """The images of a folder by their name below it, without the ending."""
    found: dict[Path, Path] = {}
    for path in list_images(folder)[0]:
        other = found.setdefault(path.relative_to(folder).with_suffix(""), path)
        if other != path:
            raise UserError(f"{other} and {path.name} are two images of one name: remove one of them")
    return found


def explain_missing(dataroot: Path, wanted: list[str]) -> str:
    """The sentence for a dataset folder that lacks the sub-folders `wanted`, by what is there instead."""
    expected = " and ".join(str(dataroot / name) for name in wanted)
    if not dataroot.exists():
        return f"--dataroot {dataroot} does not exist: expected {expected}"
    if not dataroot.is_dir():
        return f"--dataroot {dataroot} is a file: expected a folder with {' and '.join(wanted)} in it"
    entries = sorted(os.listdir(dataroot))
    split = [name[:-1] + "/" + name[-1] for name in wanted if (dataroot / name[:-1] / name[-1]).is_dir()]
    if split:
        return f"--dataroot {dataroot} holds {' and '.join(split)}: rename to {' and '.join(wanted)}"
    if any(os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS for name in entries):
        return (
            f"--dataroot {dataroot} holds images directly: put them into {expected} "
            "(test.py translates one folder with --model test)"
        )
    there = ", ".join(entries[:8]) + (", ..." if len(entries) > 8 else "") if entries else "nothing"
    return f"--dataroot {dataroot} holds {there}: expected {' and '.join(wanted)} in it (see --phase)"
