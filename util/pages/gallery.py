"""The gallery of a test: each input, its translation, and the ground truth if there is one."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from dominate import tags

from util.pages.html import Picture, column_count, page, picture_row, write_file, write_picture
from util.runtime.background import Background

MOST_BYTES = 180
"""Longest file or folder name before endings such as _fake_B.png are added; file systems allow 255."""

Rows = Mapping[tuple[str, str], tuple[str, list[Picture]]]


class Gallery:
    """`folder`/index.html with the pictures in `folder`/images.

    The page is written once, by `close`. After an interruption it shows the images so far.
    """

    def __init__(self, folder: Path, title: str, image_width: int = 256, shared: bool = False) -> None:
        """`shared`: other ranks write pictures of other sources into the same folder, see `merge`."""
        self.folder = folder
        self.title = title
        self.image_width = image_width
        self.shared = shared
        self.rows: dict[tuple[str, str], tuple[str, list[Picture]]] = {}  # by source and first visual
        self.owners: dict[str, str] = {}
        self._background = Background()

    def add_row(self, path: str, images: Mapping[str, np.ndarray]) -> None:
        """Save the images of one source file and show them in a row; a repeated source file is ignored.

        The files are written in the background.

        Args:
            path: the source file, relative to the data folder, shown as given.
            images: uint8 (H, W, 3) or (H, W), by visual (real_A, fake_B, rec_A, truth_B), in the order shown.

        Raises:
            UserError: an image of an earlier call could not be written.
        """
        key = (path, next(iter(images), ""))
        if key in self.rows:
            return
        files = self._files(path, list(images))
        pictures = []
        for file, (name, image) in zip(files, images.items(), strict=True):
            self._background.call(write_picture, self.folder / file, image)
            pictures.append(Picture(name, file, width=image.shape[1], height=image.shape[0]))
        self.rows[key] = (path, pictures)

    def merge(self, rows: Rows) -> None:
        """Append the rows of another rank's gallery."""
        for key, row in rows.items():
            self.rows.setdefault(key, row)

    def finish_pictures(self) -> None:
        """Wait until every picture is written. Raises UserError if one can't be written."""
        self._background.finish()

    def close(self, summary: Mapping[str, str] | None = None, notes: Sequence[str] = ()) -> Path:
        """Write the page and return its path.

        Args:
            summary: shown in the header, by visual, such as {"fake_B": "error 0.055, SSIM 0.53"}.
            notes: sentences above the rows.

        Raises:
            UserError: the page or an image can't be written.
        """
        self.finish_pictures()
        columns = max((column_count(pictures) for _, pictures in self.rows.values()), default=1)
        rows = [
            picture_row([_shown(path), tags.small(number)], [("", pictures)], self.image_width, columns=columns)
            for number, (path, pictures) in enumerate(self.rows.values(), 1)
        ]
        count = f"{len(self.rows):,} image" + ("" if len(self.rows) == 1 else "s")
        status = [count, *(f"{name}: {words}" for name, words in (summary or {}).items())]
        note_lines = [str(tags.p(note, cls="note").render(pretty=False)) for note in notes]
        index = self.folder / "index.html"
        write_file(index, page(self.title, status, [*note_lines, *rows], self.image_width))
        return index

    def _files(self, path: str, names: Sequence[str]) -> list[str]:
        """Files for the visuals of a source, unique to it."""
        folder, stem, extension = image_name(path)
        # Another rank may have a source whose name differs only in its extension.
        additions = itertools.chain(
            [extension] if self.shared else ["", extension], (f"{extension}_{count}" for count in itertools.count(2))
        )
        candidates = ([str(folder / f"{stem}{addition}_{name}.png") for name in names] for addition in additions)
        files = next(files for files in candidates if all(self._is_free(file, path) for file in files))
        self.owners.update((_same_file(file), path) for file in files)
        return files

    def _is_free(self, file: str, path: str) -> bool:
        return self.owners.get(_same_file(file), path) == path


def image_name(path: str) -> tuple[PurePosixPath, str, str]:
    """The folder (inside images), stem and extension for the pictures of a source file.

    The folder never leads out of images, whatever the path contains. Backslashes separate folders, as on Windows.
    Long names are cut; control characters and invalid Unicode become underscores.
    """
    text = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "_", path).replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".", "..") and not part.endswith(":")]
    name = PurePosixPath(parts.pop() if parts else "image")
    folder = PurePosixPath("images", *(_cut(part) for part in parts))
    return folder, _cut(name.stem), _cut(name.suffix, 16)


def _cut(name: str, size: int = MOST_BYTES) -> str:
    return name.encode()[:size].decode(errors="ignore")


def _same_file(file: str) -> str:
    """A key that is equal for names of the same file on systems that ignore case or the form of accents."""
    return unicodedata.normalize("NFC", file).casefold()


def _shown(path: str) -> Any:
    """A path as text, with a paler folder. Right-to-left text in one part does not affect the other."""
    start = max(path.rfind("/"), path.rfind("\\")) + 1
    folder = [tags.small(tags.bdi(path[:start]))] if start else []
    return tags.span(*folder, tags.bdi(path[start:]))
