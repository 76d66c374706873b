"""The pages as a reader gets them: opened from disk in Chromium, clicked and typed at. Skipped without it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import util.pages.training_page
from tests.chromium import Chromium
from util.pages.gallery import Gallery
from util.pages.html import page, picture_row, save_picture
from util.pages.training_page import TrainingPage

ODD_NAMES = [
    "naïve #1%.jpg",
    "sub dir/50% & more #2?.png",
    "日本語/富士山.png",
    "<img src=x onerror=\"document.title='run'\">.png",
    "</h2><script>document.title = 'run'</script>.png",
    '" onload="document.title=1" x=".png',
    "%20literal%2F.png",
    "back\\slash.png",
    "new\nline.png",
    "caf\udce9.png",
    "x" * 250 + ".png",
]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def image(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_pictures_of_odd_names_are_found_and_nothing_in_a_name_is_run(chromium: Chromium, tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, "test")
    for size, name in enumerate(ODD_NAMES, start=8):
        gallery.add_row(name, {"real_A": image(size), "fake_B": image(size)})
    chromium.open(gallery.close())
    widths = chromium.run(
        """(async () => {
          const images = [...document.querySelectorAll("article img")];
          images.forEach((one) => { one.loading = "eager"; });
          await Promise.allSettled(images.map((one) => one.decode()));
          return images.map((one) => one.naturalWidth);
        })()"""
    )
    assert widths == [size for size in range(8, 8 + len(ODD_NAMES)) for _ in range(2)]
    assert chromium.run("[...document.querySelectorAll('a.zoom')].every((a) => a.href === a.children[0].src)")
    assert chromium.run("document.title") == "test"
    assert chromium.run("document.querySelectorAll('article script, article [onload], article [onerror]').length") == 0


def test_a_click_enlarges_and_keys_lead_on(chromium: Chromium, tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, "test")
    for number in range(9):
        gallery.add_row(f"{number}.png", {"real_A": image(64), "fake_B": image(64)})
    chromium.open(gallery.close(), height=940)
    ready = "enlarged.complete && enlarged.naturalWidth"
    shown = "[dialog.open, enlarged.src.split('/').pop(), enlarged.clientWidth / enlarged.naturalWidth]"
    chromium.run("document.querySelectorAll('a.zoom img')[2].click()")
    chromium.until(ready)
    assert chromium.run(shown) == [True, "1_real_A.png", 13]  # 13 times 64 is what 940 pixels have room for
    for key, file in [
        ("ArrowRight", "1_fake_B.png"),
        ("ArrowRight", "2_real_A.png"),
        ("ArrowUp", "1_real_A.png"),
        ("ArrowLeft", "0_fake_B.png"),
        ("ArrowUp", "0_fake_B.png"),
        *(("ArrowDown", f"{number}_fake_B.png") for number in range(1, 9)),
    ]:
        chromium.press(key)
        chromium.until(ready)
        assert chromium.run(shown) == [True, file, 13]
    assert chromium.run("dialog.querySelector('p').textContent") == "8.png · output fake_B"
    chromium.press("Escape")
    chromium.until("!dialog.open && document.activeElement === current")
    assert chromium.run("current.getBoundingClientRect().bottom <= window.innerHeight")  # it came into view


@pytest.mark.parametrize(
    ("width", "density", "in_a_line", "shown"),
    [(1280, 1, 4, [240, 256]), (900, 1, 4, [192, 196]), (390, 1, 2, [144, 164]), (390, 2, 2, [144, 164])],
)
def test_pictures_stand_in_a_grid_at_whole_multiples(
    chromium: Chromium, tmp_path: Path, width: int, density: int, in_a_line: int, shown: list[int]
) -> None:
    """48 pixels at 5, 4 and 3 times their size; 300 shrunk to their cell; two in a line on a phone."""
    gallery = Gallery(tmp_path, "test")
    for size in (48, 300):
        names = ("real_A", "fake_B", "rec_A", "truth_B")
        gallery.add_row(f"{size}.png", dict.fromkeys(names, image(size)))
    chromium.open(gallery.close(), width=width, density=density)
    tops = chromium.run(
        "[...document.querySelectorAll('article')[0].querySelectorAll('figure')].map((f) => f.offsetTop)"
    )
    assert [tops.count(top) for top in sorted(set(tops))] == [in_a_line] * (4 // in_a_line)
    first = "[...document.querySelectorAll('article')].map((row) => row.querySelector('img'))"
    widths = chromium.run(f"{first}.map((one) => one.getBoundingClientRect().width)")
    assert widths == pytest.approx(shown, abs=0.6)
    rendering = chromium.run(f"{first}.map((one) => getComputedStyle(one).imageRendering)")
    assert rendering == ["pixelated", "auto"]
    assert chromium.run("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_running_page_shows_what_is_new_and_keeps_its_place(
    chromium: Chromium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(util.pages.training_page, "RELOAD_SECONDS", 1)
    training = TrainingPage(tmp_path, "run", {"lr": 0.1})
    for epoch in range(1, 31):
        training.add_samples(epoch, epoch, {"real_A": image(32), "fake_B": image(32)})
    chromium.open(tmp_path / "index.html")
    chromium.run("document.querySelector('details').open = true")
    chromium.run("document.querySelectorAll('a.zoom')[0].children[0].click()")
    training.add_samples(31, 31, {"real_A": image(32, 1), "fake_B": image(32, 1)})
    time.sleep(2.5)
    assert chromium.run("dialog.open && !document.getElementById('epoch-31')")  # not while a picture is open
    chromium.press("Escape")
    chromium.run("document.getElementById('epoch-20').scrollIntoView()")
    top = chromium.run("document.getElementById('epoch-20').getBoundingClientRect().top")
    chromium.until("document.getElementById('epoch-31')")
    assert chromium.run("document.querySelector('details').open")
    chromium.until(f"Math.abs(document.getElementById('epoch-20').getBoundingClientRect().top - {top}) < 2")
    training.finish(complete=True)
    chromium.until("!document.body.dataset.reload")


def test_curves_are_light_or_dark(chromium: Chromium, tmp_path: Path) -> None:
    training = TrainingPage(tmp_path, "run", {})
    training.update_curves(
        [{"epoch": 1, "step": 1, "images": 1, "D_A": 0.5}, {"epoch": 2, "step": 2, "images": 2, "D_A": 1}]
    )
    grounds = []
    for dark in (False, True):
        chromium.open(tmp_path / "curve_D.svg", dark=dark)
        grounds.append(chromium.run("getComputedStyle(document.querySelector('rect')).fill"))
        assert chromium.run("document.querySelector('path').getTotalLength()") > 150
    assert grounds == ["rgb(255, 255, 255)", "rgb(29, 29, 32)"]


def test_a_page_of_2000_rows_loads_only_what_is_seen(chromium: Chromium, tmp_path: Path) -> None:
    picture = save_picture(tmp_path, "images/0.png", "fake_B", image(64))
    rows = []
    for number in range(2000):
        if number:
            os.link(tmp_path / "images/0.png", tmp_path / f"images/{number}.png")
        rows.append(picture_row([f"{number}"], [("", [replace(picture, file=f"images/{number}.png")] * 4)], 256))
    (tmp_path / "index.html").write_text(page("2,000 rows", [], rows, 256), encoding="utf-8")
    chromium.open(tmp_path / "index.html")
    loaded = "[...document.querySelectorAll('article img')].flatMap((one, n) => one.naturalWidth ? [n] : [])"
    chromium.until(f"{loaded}.length >= 8")
    assert chromium.run(f"{loaded}.length") < 100
    assert chromium.run("document.documentElement.scrollHeight") > 2000 * 256
    chromium.run("document.querySelectorAll('article')[1800].scrollIntoView()")
    chromium.until(f"{loaded}.includes(7200)")
    assert chromium.run("performance.getEntriesByName('first-contentful-paint')[0].startTime") < 5000  # ms
