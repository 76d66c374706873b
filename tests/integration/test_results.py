"""What repeated, different and interrupted tests leave in the folder of results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import tile
from tests.integration.conftest import Command

SIZES = {"testA": [(37, 41), (5, 40), (64, 33)], "testB": [(37, 41), (40, 40), (1, 1)]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Test images of odd sizes, two of them too small for any network."""
    for folder, sizes in SIZES.items():
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for number, size in enumerate(sizes):
            tile(number, *size).save(tmp_path / "photos" / folder / f"{number}.png")
    return tmp_path / "photos"


def pictures(folder: Path) -> set[str]:
    """The pictures in a folder of results, all of which its page must show."""
    shown = set(re.findall(r'src="(images/[^"]+)"', (folder / "index.html").read_text()))
    assert shown == {path.relative_to(folder).as_posix() for path in (folder / "images").rglob("*.png")}
    return {Path(file).name for file in shown}


def test_tests_do_not_destroy_each_other(train: Command, command: Command, photos: Path, tmp_path: Path) -> None:
    train("--name", "run")
    common = ["test.py", "--dataroot", photos, "--name", "run", "--preprocess", "none", "--num_threads", 0]
    results = tmp_path / "results" / "run"

    done = command(*common)
    assert "testA/1.png: 5x40 pixels are too small for netG_" in done.stderr
    assert "testB/2.png: 1x1 pixels are too small for netG_" in done.stderr
    assert "3 of 3 file names occur in both" in done.stdout and "--no_truth" in done.stdout
    for domain, other in ("AB", "BA"):
        for number, size in enumerate(SIZES[f"test{domain}"]):
            for name in (f"real_{domain}", f"fake_{other}", f"rec_{domain}"):
                file = results / "test_latest" / "images" / f"{number}_{name}.png"
                assert file.exists() == (min(size) > 5) and (not file.exists() or Image.open(file).size == size)
    counts = json.loads((results / "test_latest" / "metrics.json").read_text())["counts"]
    pairs = {name: count["mean_absolute_error"] for name, count in counts.items()}
    assert pairs == {"fake_A": 1, "fake_B": 1}  # 0.png
    first = pictures(results / "test_latest")

    (photos / "testA" / "0.png").rename(photos / "testA" / "renamed.png")
    command(*common)  # the same test again
    assert [path.name for path in results.iterdir()] == ["test_latest"]
    assert pictures(results / "test_latest") != first

    before = pictures(results / "test_latest")
    for flags, name in (
        (["--num_test", 1], "test_latest_num_test_1"),
        (["--direction", "BtoA"], "test_latest_direction_BtoA"),
        (["--no_truth"], "test_latest_no_truth"),
        (["--model", "test", "--model_suffix", "_A"], "test_latest_model_test_model_suffix_A"),
    ):
        done = command(*common, *flags)
        assert str(Path("results", "run", name, "index.html")) in done.stdout
        assert "note: results/run/test_latest has the results of a test with another " in done.stdout
        pictures(results / name)
    assert pictures(results / "test_latest") == before
    counts = json.loads((results / "test_latest_no_truth" / "metrics.json").read_text())["counts"]
    assert counts and all("mean_absolute_error" not in count for count in counts.values())


def test_a_width_that_is_rounded_is_printed(train: Command, command: Command, photos: Path, tmp_path: Path) -> None:
    note = "note: --load_size 38 becomes a width of 40: --preprocess scale_width rounds sides to multiples of 4"
    assert note in train("--name", "run", "--preprocess", "scale_width", "--load_size", 38).stdout
    done = command("test.py", "--dataroot", photos, "--name", "run", "--load_size", 38, "--num_threads", 0)
    assert note in done.stdout
