"""The page of a test: each input, what was made of it, and the ground truth where there is one."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from dominate import tags

from util.pages.html import Picture, page, picture_row, write_file, write_picture
from util.runtime.background import Background

MOST_BYTES = 180
"""Of a file's or folder's name: file systems allow 255, and endings such as _fake_B.png come to it."""


Rows = Mapping[tuple[str, ...], tuple[str, list[Picture]]]


class Gallery:
    """`folder`/index.html with the pictures in `folder`/images.

    The page is written once, by `close`, which is right at any time: after an interrupt it shows what was done until
    then.
    """

    def __init__(self, folder: Path, title: str, image_width: int = 256, shared: bool = False) -> None:
        """`shared`: other processes write pictures of other sources into the folder, see `take`."""
        self.folder = folder
        self.title = title
        self.image_width = image_width
        self.shared = shared
        self.rows: dict[tuple[str, ...], tuple[str, list[Picture]]] = {}  # the source, and its pictures
        self.owners: dict[str, str] = {}
        self._background = Background()

    def add_row(self, path: str, images: Mapping[str, np.ndarray]) -> None:
        """Save the images of one source file and show them in a row; once if it comes again.

        The files are written in the background: that one could not be is raised by a later call, or by `close`.

        Args:
            path: the source file, relative to the data folder. Shown as it is.
            images: uint8 (H, W, 3) or (H, W), by visual (real_A, fake_B, rec_A, truth_B), in the order shown.

        Raises:
            UserError: an image cannot be written.
        """
        key = (path, *images)
        if key in self.rows:
            return
        files = self._files(path, list(images))
        pictures = []
        for file, (name, image) in zip(files, images.items(), strict=True):
            self._background.call(write_picture, self.folder / file, image)
            pictures.append(Picture(name, file, width=image.shape[1], height=image.shape[0]))
        self.rows[key] = (path, pictures)

    def take(self, rows: Rows) -> None:
        """Show the rows of another process's gallery, too, after those that there are."""
        for key, row in rows.items():
            self.rows.setdefault(key, row)

    def finish_pictures(self) -> None:
        """Wait until every picture is written; raises UserError where one can't be."""
        self._background.finish()

    def close(self, summary: Mapping[str, str] | None = None, notes: Sequence[str] = ()) -> Path:
        """Write the page and return its path.

        Args:
            summary: shown in the header, by visual, such as {"fake_B": "error 0.055, SSIM 0.53"}.
            notes: sentences above the rows.

        Raises:
            UserError: the page, or one of the images, cannot be written.
        """
        self.finish_pictures()
        rows = [
            picture_row([_shown(path), tags.small(number)], pictures, self.image_width)
            for number, (path, pictures) in enumerate(self.rows.values(), 1)
        ]
        count = f"{len(self.rows):,} image" + ("" if len(self.rows) == 1 else "s")
        status = [count, *(f"{name}: {words}" for name, words in (summary or {}).items())]
        remarks = [str(tags.p(note, cls="note").render(pretty=False)) for note in notes]
        index = self.folder / "index.html"
        write_file(index, page(self.title, status, [*remarks, *rows], self.image_width))
        return index

    def _files(self, path: str, names: Sequence[str]) -> list[str]:
        """Files for the visuals of a source that no other source has."""
        folder, stem, extension = image_name(path)
        # Another process may have a source that is called the same but for its ending.
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
    """The folder, below images, and the name's stem and extension that the pictures of a source file take.

    The folder never leads out of images, whatever the path says. Backslashes separate folders, as on Windows.
    Too long names are cut; control characters and what is no Unicode become underscores.
    """
    text = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "_", path).replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".", "..") and not part.endswith(":")]
    name = PurePosixPath(parts.pop() if parts else "image")
    folder = PurePosixPath("images", *(_cut(part) for part in parts))
    return folder, _cut(name.stem), _cut(name.suffix, 16)


def _cut(name: str, size: int = MOST_BYTES) -> str:
    return name.encode()[:size].decode(errors="ignore")


def _same_file(file: str) -> str:
    """Equal for names that are one file on systems that ignore case or the form of accents."""
    return unicodedata.normalize("NFC", file).casefold()


def _shown(path: str) -> Any:
    """A path as text, its folder paler. Each part keeps to itself if it is written from right to left."""
    start = max(path.rfind("/"), path.rfind("\\")) + 1
    folder = [tags.small(tags.bdi(path[:start]))] if start else []
    return tags.span(*folder, tags.bdi(path[start:]))
