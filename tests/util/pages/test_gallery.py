from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from util.errors import UserError
from util.pages.gallery import Gallery

ODD_NAMES = [
    "naïve #1%.jpg",
    "sub dir/50% & more #2?.png",
    "日本語/富士山.png",
    "<img src=x onerror=alert(1)>.png",
    "quote\"s and 'single'.png",
    "a+b=c;d,e@f!.png",
    "%20literal%2F.png",
    "back\\slash.png",
    "new\nline.png",
    ".hidden",
    "no extension",
    "caf\udce9.png",
    "x" * 250 + ".png",
    "é" * 120 + "/" + "ü" * 120 + ".png",
]


class Page(HTMLParser):
    """What a reader of the page gets: its text, its pictures and where they lead."""

    def __init__(self, index: Path) -> None:
        super().__init__()
        self.folder = index.parent
        self.names: list[str] = []
        self.pictures: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.inside = ""
        self.feed(index.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert not any(name.startswith("on") for name in values), values
        self.inside = tag if tag in ("style", "script") else ""
        if tag == "h2":
            self.names.append("")
            self.inside = "h2"
        elif tag == "img" and values.get("src"):
            self.pictures.append(unquote(values["src"] or ""))
        elif tag == "a":
            self.links.append(unquote(values["href"] or ""))
        if self.names and tag in ("bdi", "span", "small"):
            self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside == "bdi":
            self.names[-1] += data
        if self.inside not in ("style", "script"):
            self.words += data


def image(value: int = 0) -> np.ndarray:
    return np.full((4, 4, 3), value, dtype=np.uint8)


def test_rows_show_names_and_lead_to_their_files(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, "test")
    for value, name in enumerate(ODD_NAMES):
        gallery.add_row(name, {"real_A": image(value), "fake_B": image(100 + value)})
    page = Page(gallery.close())
    assert page.names == [name.replace("\udce9", "?") for name in ODD_NAMES]
    assert page.links == page.pictures and len(page.pictures) == 2 * len(ODD_NAMES)
    shown = [np.asarray(Image.open(tmp_path / picture))[0, 0, 0] for picture in page.pictures]
    assert shown == [value + offset for value in range(len(ODD_NAMES)) for offset in (0, 100)]


def test_files_keep_their_folders(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, "test")
    gallery.add_row("sub dir/naïve #1%.jpg", {"fake_B": image()})
    gallery.close()
    assert (tmp_path / "images" / "sub dir" / "naïve #1%_fake_B.png").exists()


@pytest.mark.parametrize(
    "path", ["../../x.png", "/etc/x.png", "a/../../../x.png", "C:\\x.png", "..\\..\\x.png", "..", ""]
)
def test_no_path_leads_out_of_images(tmp_path: Path, path: str) -> None:
    gallery = Gallery(tmp_path / "results", "test")
    gallery.add_row(path, {"fake_B": image()})
    gallery.close()
    (tmp_path / "results" / "index.html").unlink()
    images = tmp_path / "results" / "images"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [file for file in images.rglob("*.png")]
    assert len(list(images.rglob("*_fake_B.png"))) == 1


def test_sources_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """Not with another extension, case or form of an accent, nor where a stem ends as a visual's name."""
    gallery = Gallery(tmp_path, "test")
    sources = [
        "1.png",
        "1.jpg",
        "1.PNG",
        "Cat.png",
        "cat.png",
        "a/1.png",
        "É.png",
        "E\u0301.png",
        "y" * 200 + "1.png",
        "y" * 200 + "2.png",
    ]
    for value, name in enumerate(sources):
        gallery.add_row(name, {"fake_B": image(value)})
    gallery.add_row("z_fake.png", {"B": image(20)})
    gallery.add_row("z.png", {"fake_B": image(21)})
    page = Page(gallery.close())
    shown = [np.asarray(Image.open(tmp_path / picture))[0, 0, 0] for picture in page.pictures]
    assert shown == [*range(len(sources)), 20, 21]
    assert len({picture.casefold() for picture in page.pictures}) == len(page.pictures)
    assert page.pictures[:2] == ["images/1_fake_B.png", "images/1.jpg_fake_B.png"]


def test_a_repeated_source_is_written_once(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, "test")
    gallery.add_row("1.png", {"real_A": image(1), "fake_B": image(2)})
    gallery.add_row("1.png", {"real_B": image(3), "fake_A": image(4)})  # the file of that name in B
    gallery.add_row("1.png", {"real_A": image(5), "fake_B": image(6)})
    page = Page(gallery.close())
    assert page.pictures == [f"images/1_{name}.png" for name in ("real_A", "fake_B", "real_B", "fake_A")]
    assert np.asarray(Image.open(tmp_path / "images/1_real_A.png"))[0, 0, 0] == 1


def test_the_header_summarizes_all_rows(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, "maps <1>")
    for number in range(3):
        gallery.add_row(f"{number}.png", {"real_A": image(), "fake_B": image(), "rec_A": image(), "truth_B": image()})
    page = Page(gallery.close({"fake_B": "error 0.055, SSIM 0.53"}, ["50 of 546 were translated"]))
    for words in ("maps <1>", "3 images", "fake_B: error 0.055, SSIM 0.53", "50 of 546 were translated"):
        assert words in page.words
    for words in ("input real_A", "output fake_B", "reconstruction rec_A", "ground truth truth_B"):
        assert page.words.count(words) == 3


def test_a_page_can_be_written_at_any_time(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, "test")
    assert Page(gallery.close()).pictures == []
    gallery.add_row("1.png", {"fake_B": image()})
    assert len(Page(gallery.close()).pictures) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    gallery = Gallery(tmp_path / "file", "test")
    gallery.add_row("1.png", {"fake_B": image()})
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "file"))):
        gallery.close()
