"""scripts/contact_sheet.py: the same images of several galleries, one below the other."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import contact_sheet
from scripts.contact_sheet import GAP, evenly_spaced
from util.errors import UserError

WIDTH = 20


def gallery(folder: Path, level: int, truth: bool = True, numbers: range = range(5)) -> None:
    """A gallery whose images have one color each: (number of the image, kind, level of the gallery)."""
    (folder / "images" / "sub").mkdir(parents=True)
    kinds = ["real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B", *(["truth_A", "truth_B"] if truth else [])]
    for number in numbers:
        for kind in kinds:
            color = (10 * number, 20 * ALL_KINDS.index(kind), level)
            Image.new("RGB", (40, 20), color).save(folder / "images" / "sub" / f"{number}_{kind}.png")


ALL_KINDS = ["real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B", "truth_A", "truth_B"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    contact_sheet.main()


def cells(path: Path) -> list[list[tuple[int, ...]]]:
    """The color inside each image of a sheet, by row and column."""
    with Image.open(path) as image:
        sheet = np.asarray(image)
    step = WIDTH + GAP
    assert (sheet.shape[0] - GAP) % step == (sheet.shape[1] - GAP) % step == 0
    middle = GAP + WIDTH // 4  # images are half as high as wide
    grid = sheet[middle::step, middle::step]
    return [[tuple(map(int, color)) for color in row] for row in grid]


@pytest.mark.parametrize(("visual", "source"), [("fake_B", "real_A"), ("fake_A", "real_B")])
def test_rows_are_source_galleries_and_truth(
    visual: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, out = tmp_path / "one", tmp_path / "two", tmp_path / "new" / "sheet.png"
    gallery(one, 100)
    gallery(two, 200, truth=False, numbers=range(1, 5))  # image 0 is not in both
    run(monkeypatch, one, two, "--out", out, "--visual", visual, "--count", 2, "--width", WIDTH)
    truth = visual.replace("fake", "truth")
    kinds = [(source, 100), (visual, 100), (visual, 200), (truth, 100)]
    assert cells(out) == [[(10 * n, 20 * ALL_KINDS.index(kind), level) for n in (1, 3)] for kind, level in kinds]
    printed = f"{out}: 2 columns; rows: {source}, {visual} of {one}, {visual} of {two}, {truth}\n"
    assert capsys.readouterr().out == printed


def test_without_truth_there_is_no_row_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery(tmp_path / "one", 100, truth=False)
    run(monkeypatch, tmp_path / "one", "--out", tmp_path / "sheet.png", "--width", WIDTH, "--count", 99)
    assert [len(row) for row in cells(tmp_path / "sheet.png")] == [5, 5]


def test_columns_are_evenly_spaced() -> None:
    assert evenly_spaced("abcdefgh", 4) == ["a", "c", "e", "g"]
    assert evenly_spaced("abc", 2) == ["a", "b"]
    assert evenly_spaced("abc", 7) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("none --out s.png", r"^none is not a gallery: expected a folder that contains the folder images$"),
        ("one --out s.png --count 0", r"^--count 0: must be at least 1$"),
        ("one --out sheet", r"^--out sheet: expected the name of an image, such as sheet\.png$"),
        ("one other --out s.png", r"^one and other have no image in common: test them on the same images$"),
        ("one --out s.png --visual fake", r"^--visual fake: one/images has no image whose name ends in _fake$"),
    ],
)
def test_mistakes(arguments: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gallery(Path("one"), 100)
    gallery(Path("other"), 200, numbers=range(7, 9))
    with pytest.raises(UserError, match=sentence):
        run(monkeypatch, *arguments.split())
