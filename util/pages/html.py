"""What the HTML pages share: the page around everything, and rows of pictures that a click enlarges.

Styles and script are written into every page, so a folder with a page and its images can be moved, zipped
or opened from disk as it is. Without a script a picture is a plain link to its file.
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
    """Path relative to the page, with forward slashes, not escaped."""
    width: int
    """In pixels of the file, as is the height."""
    height: int
    sha256: str = ""
    """The sum of the file, in hexadecimal."""


COMPRESSION = 1
"""Of PNG files: 2.6 ms and 49.8 KB for a photograph of 256x256 pixels; level 4: 5.9 ms and 45.5 KB, Pillow's 6: 11.2 ms
and 43.6 KB, 9: 50 ms and 42.2 KB."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make of a failure to write a file a UserError that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path} cannot be written ({reason}): make room there or choose another folder") from error


def write_file(path: Path, content: bytes | str) -> None:
    """Write a whole file and the folders it needs; a failure is a UserError."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)


def write_picture(path: Path, image: np.ndarray) -> str:
    """Write an image, uint8 (H, W, 3) or (H, W), as a PNG; returns the SHA-256 sum of the file."""
    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(content, "PNG", compress_level=COMPRESSION)
    write_file(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def save_picture(folder: Path, file: str, name: str, image: np.ndarray) -> Picture:
    """Write an image, as `write_picture` does, as the PNG `file` in a page's folder."""
    total = write_picture(folder / file, image)
    return Picture(name, file, width=image.shape[1], height=image.shape[0], sha256=total)


def address(file: str) -> str:
    """The link to a file beside the page: every character that means something in a link is escaped."""
    return quote(file, safe="/")


def meaning(name: str, names: Iterable[str]) -> str:
    """The word for a visual among the visuals of its row: input, output, ground truth; "" if unknown.

    A real picture is the ground truth where its domain is the only one that is generated (fake_B alone
    beside real_B: pix2pix), else an input.
    """
    kind, _, domain = name.partition("_")
    if kind != "real":
        return MEANINGS.get(kind, "")
    generated = {other.removeprefix("fake_") for other in names if other.startswith("fake_")}
    return "ground truth" if generated == {domain} else "input"


def picture_row(
    caption: Sequence[Any], pictures: Sequence[Picture], image_width: int, identifier: str | None = None
) -> str:
    """A card with a caption (tags and text) over its pictures, as HTML.

    Up to five pictures stand side by side, more stand in two lines (A to B, then B to A, for CycleGAN).
    """
    names = [picture.name for picture in pictures]
    columns = len(pictures) if len(pictures) <= 5 else -(-len(pictures) // 2)
    row = tags.article(
        tags.h2(*caption),
        tags.div(_figure(picture, meaning(picture.name, names), image_width) for picture in pictures),
        id=identifier,
        style=f"--columns:{columns};--count:{len(pictures)}",
    )
    return str(row.render(pretty=False))


def _figure(picture: Picture, word: str, image_width: int) -> Any:
    """A picture at the largest whole multiple of its size within image_width, or shrunk to that."""
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


class Dialog(tags.html_tag):  # dominate has none of its own
    tagname = "dialog"


@cache
def _part(file: str) -> str:
    """The text of a style sheet or script beside this module."""
    return Path(__file__).with_name(file).read_text(encoding="utf-8")


def page(title: str, status: Sequence[str], content: Iterable[str], image_width: int, reload_seconds: int = 0) -> str:
    """A whole page: a header that stays in view with title and status, then content, which is HTML already.

    It is as wide as four pictures of image_width side by side, or as the window. With reload_seconds the page
    loads itself anew that often, unless a picture is enlarged.
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
    return text.encode(errors="replace").decode()  # file names and paths may hold bytes that are no UTF-8


def _dialog() -> Any:
    """The enlarged picture, which the script fills and opens."""
    return Dialog(
        tags.img(alt=""),
        tags.p(),
        tags.button("\u2039", type="button", value="ArrowLeft", aria_label="previous picture"),
        tags.button("\u203a", type="button", value="ArrowRight", aria_label="next picture"),
    )
