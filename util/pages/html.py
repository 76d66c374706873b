"""What the HTML pages share: the page itself, and rows of pictures that a click enlarges.

Styles and script are inlined, so a folder with a page and its images can be moved, zipped or opened from disk. Without
JavaScript a picture is a link to its file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from dominate import document, tags
from dominate.util import raw
from PIL import Image

from util.errors import UserError
from util.files import atomic_write

MEANINGS = {"fake": "output", "rec": "reconstruction", "truth": "ground truth", "idt": "identity"}


@dataclass(frozen=True)
class Picture:
    """An image file shown on a page."""

    name: str
    """The visual's name, such as fake_B."""
    file: str
    """Path relative to the page, with forward slashes, not URL-quoted."""
    width: int
    """Width and height of the file, in pixels."""
    height: int
    sha256: str = ""
    """Sum of the file, in hexadecimal."""


COMPRESSION = 1
"""PNG compression level. A photograph of 256x256 pixels takes 2.6 ms and 49.8 KB; with level 4 5.9 ms and 45.5 KB, with
Pillow's default 6 11.2 ms and 43.6 KB, with 9 50 ms and 42.2 KB."""


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Convert an OSError while writing a file to a UserError with its path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"can't write {path} ({reason}): free some space or choose another folder") from error


def write_file(path: Path, content: bytes | str) -> None:
    """Write a complete file and create its folder. Raises UserError if that fails."""
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)


def write_picture(path: Path, image: np.ndarray) -> str:
    """Write an image, uint8 (H, W, 3) or (H, W), as a PNG; returns the SHA-256 sum of the file."""
    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(content, "PNG", compress_level=COMPRESSION)
    write_file(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def save_picture(folder: Path, file: str, name: str, image: np.ndarray) -> Picture:
    """Write an image as the PNG `file` in a page's folder, see `write_picture`."""
    total = write_picture(folder / file, image)
    return Picture(name, file, width=image.shape[1], height=image.shape[0], sha256=total)


def address(file: str) -> str:
    """The URL-quoted link to a file, relative to the page."""
    return quote(file, safe="/")


def meaning(name: str, names: Iterable[str]) -> str:
    """The role of a visual among the visuals of its row: input, output, ground truth; "" if unknown.

    A real picture is the ground truth if its domain is the only generated one (real_B with fake_B alone: pix2pix), and
    an input otherwise.
    """
    kind, _, domain = name.partition("_")
    if kind != "real":
        return MEANINGS.get(kind, "")
    generated = {other.removeprefix("fake_") for other in names if other.startswith("fake_")}
    return "ground truth" if generated == {domain} else "input"


Group = tuple[str, Sequence[Picture]]
"""Pictures that belong together, and a title above them, which may be empty."""


def column_count(pictures: Sequence[Picture]) -> int:
    """The columns of a row: up to five pictures are in one line, more in two (for CycleGAN: A to B, then B to A)."""
    return len(pictures) if len(pictures) <= 5 else -(-len(pictures) // 2)


def picture_row(
    caption: Sequence[Any],
    groups: Sequence[Group],
    image_width: int,
    identifier: str | None = None,
    columns: int = 0,
) -> str:
    """A card with a caption (tags and text) above its groups of pictures, as HTML.

    `columns`: of the widest row of the page, so that the pictures of all rows are aligned; by default those of this
    row.
    """
    parts: list[Any] = [tags.h2(*caption)]
    for title, pictures in groups:
        names = [picture.name for picture in pictures]
        parts += [tags.h3(title)] if title else []
        parts.append(tags.div(_figure(picture, meaning(picture.name, names), image_width) for picture in pictures))
    columns = columns or max(column_count(pictures) for _, pictures in groups)
    count = sum(-(-len(pictures) // columns) * columns for _, pictures in groups)
    row = tags.article(*parts, id=identifier, style=f"--columns:{columns};--count:{count}")
    return str(row.render(pretty=False))


def _figure(picture: Picture, word: str, image_width: int) -> Any:
    """A picture enlarged to the largest integer multiple of its width within image_width, or shrunk to image_width."""
    scale = image_width // picture.width or image_width / picture.width
    width, height = round(picture.width * scale), max(1, round(picture.height * scale))
    image = tags.img(
        src=address(picture.file),
        alt=f"{word} {picture.name}".strip(),
        width=width,
        height=height,
        style=f"--natural:{min(picture.width, width)}px;--shown:{width}px",
        cls="crisp" if scale >= 2 else None,
        loading="lazy",
    )
    label = [tags.b(word), " ", tags.code(picture.name)] if word else [tags.code(picture.name)]
    return tags.figure(tags.a(image, href=address(picture.file), cls="zoom"), tags.figcaption(*label))


class Dialog(tags.html_tag):  # missing in dominate
    tagname = "dialog"


@cache
def _part(file: str) -> str:
    """The text of a style sheet or script in this folder."""
    return Path(__file__).with_name(file).read_text(encoding="utf-8")


def page(title: str, status: Sequence[str], content: Iterable[str], image_width: int, reload_seconds: int = 0) -> str:
    """A complete page: a sticky header with title and status, then `content`, which is HTML.

    It is as wide as four pictures of image_width, or as the window. With reload_seconds the page reloads itself that
    often, unless a picture is enlarged.
    """
    whole = document(title=title, lang="en")
    whole.head.add(
        tags.meta(charset="utf-8"),
        tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
        tags.meta(name="color-scheme", content="light dark"),
        tags.style(raw(_part("page.css"))),
    )
    whole.body.set_attribute("style", f"--cell:{image_width}px")
    if reload_seconds:
        whole.body.set_attribute("data-reload", reload_seconds)
    whole.body.add(
        tags.header(tags.h1(title), tags.ul(tags.li(words) for words in status), cls="top"),
        tags.main(raw(part) for part in content),
        _dialog(),
        tags.script(raw(_part("page.js"))),
    )
    text = str(whole.render(pretty=False))
    return text.encode(errors="replace").decode()  # file names may contain bytes that are not valid UTF-8


def _dialog() -> Any:
    """The dialog for an enlarged picture, filled and opened by the script."""
    return Dialog(
        tags.img(alt=""),
        tags.p(),
        tags.button("\u2039", type="button", value="ArrowLeft", aria_label="previous picture"),
        tags.button("\u203a", type="button", value="ArrowRight", aria_label="next picture"),
    )
