from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from util.errors import UserError
from util.pages.html import Picture, address, meaning, page, picture_row, save_picture, write_file


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)])
def test_an_image_is_saved_as_it_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    picture = save_picture(tmp_path, "images/sub/a.png", "real_A", image)
    total = hashlib.sha256((tmp_path / "images/sub/a.png").read_bytes()).hexdigest()
    assert picture == Picture("real_A", "images/sub/a.png", width=7, height=5, sha256=total)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / picture.file)), image)
    assert [file.name for file in (tmp_path / "images/sub").iterdir()] == ["a.png"]  # no temporary file left


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "images" / "a.png"))):
        write_file(tmp_path / "images" / "a.png", b"")


@pytest.mark.parametrize("name", ["a b.png", "50%.png", "#1?.png", "naïve 富士.png", "%20.png", "c:d.png", '"<>&.png'])
def test_an_address_leads_to_the_name(name: str) -> None:
    assert unquote(address(f"images/{name}")) == f"images/{name}"
    assert re.fullmatch(r"images/[A-Za-z0-9%._~-]+", address(f"images/{name}"))


CYCLE_GAN = ["real_A", "fake_B", "rec_A", "idt_B", "real_B", "fake_A", "rec_B", "idt_A"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (CYCLE_GAN, ["input", "output", "reconstruction", "identity"] * 2),
        (["real_A", "fake_B", "truth_B"], ["input", "output", "ground truth"]),
        (["real_A", "fake_B", "real_B"], ["input", "output", "ground truth"]),
        (["real_A", "real_B_rgb", "fake_B_rgb"], ["input", "ground truth", "output"]),
        (["real", "fake"], ["input", "output"]),
        (["real_B", "fake_A"], ["input", "output"]),
        (["mask_A"], [""]),
    ],
)
def test_visuals_have_roles(names: list[str], words: list[str]) -> None:
    assert [meaning(name, names) for name in names] == words


@pytest.mark.parametrize(
    ("size", "shown", "crisp"),
    [
        ((64, 64), (256, 256), True),
        ((100, 50), (200, 100), True),
        ((200, 100), (200, 100), False),
        ((256, 256), (256, 256), False),
        ((512, 300), (256, 150), False),
    ],
)
def test_pictures_are_shown_at_a_whole_multiple(size: tuple[int, int], shown: tuple[int, int], crisp: bool) -> None:
    row = picture_row(["x"], [("", [Picture("fake_B", "a.png", *size)])], image_width=256)
    assert f'width="{shown[0]}"' in row and f'height="{shown[1]}"' in row
    assert ('class="crisp"' in row) == crisp
    assert 'loading="lazy"' in row


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (5, 5), (6, 3), (8, 4)])
def test_many_pictures_stand_in_two_lines(count: int, columns: int) -> None:
    assert f"--columns:{columns};" in picture_row(["x"], [("", [Picture("a", "a.png", 4, 4)] * count)], 256)


def test_a_page_escapes_text_and_needs_no_other_file() -> None:
    text = page("<script>alert(1)</script>", ["a & <b>"], ["<p>content</p>"], image_width=256)
    assert "&lt;script&gt;alert(1)" in text and "a &amp; &lt;b&gt;" in text and "<p>content</p>" in text
    assert "<script>alert" not in text
    assert not re.search(r"<link|<script [^>]*src|@import|https?://", text)
    assert "data-reload=" not in text
    assert 'data-reload="30"' in page("x", [], [], image_width=256, reload_seconds=30)


def test_a_name_that_is_not_valid_unicode_does_not_break_the_page() -> None:
    assert "caf?.png" in page("caf\udce9.png", [], [], image_width=256)
