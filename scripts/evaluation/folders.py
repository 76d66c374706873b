"""List the images of a folder by name, and read them for evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from data.formats.image_reader import read_image
from data.image_folder import list_images
from util.errors import UserError

IN_GALLERY = re.compile(r"(.+)_(fake(?:_[A-Z])?)")
"""A translation in the images of a gallery: NAME_fake_B.png."""


def list_named(folder: Path, option: str, visual: str | None = None) -> dict[str, Path]:
    """The images of a folder and its subfolders by name: the path below the folder, without the extension.

    A gallery's folder also has sources and ground truth. Only its translations are listed, under the names of their
    sources. `visual` (fake_A, fake_B) selects one kind if there are several.

    Raises UserError if the folder has no images, or if it is ambiguous.
    """
    paths = list_images(folder)[0]
    named = [(str(path.relative_to(folder).with_suffix("")), path) for path in paths]
    matches = [(match, path) for name, path in named if (match := IN_GALLERY.fullmatch(name))]
    kinds = sorted({match[2] for match, _ in matches})
    if visual is not None and visual not in kinds:
        raise UserError(f"--visual {visual}: {folder} has no image whose name ends in _{visual}")
    if visual is None and len(kinds) > 1:
        choices = " or ".join(f"--visual {kind}" for kind in kinds)
        raise UserError(f"{option} {folder} has {' and '.join(kinds)}: choose {choices}")
    if kinds:
        named = [(match[1], path) for match, path in matches if match[2] == (visual or kinds[0])]
    found: dict[str, Path] = {}
    for name, path in named:
        if found.setdefault(name, path) != path:
            raise UserError(f"{found[name]} and {path.name} have the same name: remove one of them")
    return found


def read(path: Path) -> Tensor:
    """The image (3, H, W) in [-1, 1], upright, composited over white if transparent. Raises UnreadableImage."""
    return read_image(path, 3).float() / 127.5 - 1


def require_common(names: Mapping[str, Path], others: Mapping[str, Path], option: str) -> None:
    """Raise UserError if two folders have no name in common."""
    if not names.keys() & others.keys():
        raise UserError(
            f"{option}: no image has the name of a translation ({min(others)} and {min(names)}, for example)"
        )
