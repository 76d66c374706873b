from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from util.errors import UserError
from util.pages.training_page import TrainingPage


def image(value: int = 0) -> np.ndarray:
    return np.full((4, 4, 3), value, dtype=np.uint8)


def fill(page: TrainingPage, epochs: range) -> None:
    for epoch in epochs:
        page.add_samples(epoch, epoch * 10, {"real_A": image(), "fake_B": image()})


def epochs_on(file: Path) -> list[int]:
    return [int(epoch) for epoch in re.findall(r'id="epoch-(\d+)"', file.read_text(encoding="utf-8"))]


def test_the_newest_epoch_is_on_top(tmp_path: Path) -> None:
    page = TrainingPage(tmp_path / "web", "run", {"netG": "<resnet>", "lr": 0.0002})
    fill(page, range(1, 4))
    assert epochs_on(tmp_path / "web/index.html") == [3, 2, 1]
    text = (tmp_path / "web/index.html").read_text(encoding="utf-8")
    for words in ("Options (2)", "&lt;resnet&gt;", "0.0002", "30 images", "images/epoch003_fake_B.png"):
        assert words in text
    assert Image.open(tmp_path / "web/images/epoch003_fake_B.png").size == (4, 4)


def test_there_is_a_page_before_the_first_samples(tmp_path: Path) -> None:
    TrainingPage(tmp_path, "run", {"lr": 0.0002})
    assert "0.0002" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_later_call_in_an_epoch_replaces_its_row(tmp_path: Path) -> None:
    page = TrainingPage(tmp_path, "run", {})
    page.add_samples(1, 1000, {"fake_B": image(1)})
    page.add_samples(1, 2000, {"fake_B": image(2)})
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert epochs_on(tmp_path / "index.html") == [1]
    assert "2,000 images" in text and "1,000 images" not in text
    assert np.asarray(Image.open(tmp_path / "images/epoch001_fake_B.png"))[0, 0, 0] == 2


def test_earlier_epochs_are_on_pages_that_are_written_once(tmp_path: Path) -> None:
    page = TrainingPage(tmp_path, "run", {})
    fill(page, range(1, 251))
    index, earlier = tmp_path / "index.html", tmp_path / "earlier_1.html"
    assert epochs_on(index) == list(range(250, 100, -1))
    assert epochs_on(earlier) == list(range(100, 0, -1))
    assert 'href="earlier_1.html"' in index.read_text(encoding="utf-8")
    assert 'href="index.html"' in earlier.read_text(encoding="utf-8")
    written = earlier.stat().st_ino
    fill(page, range(251, 302))
    assert earlier.stat().st_ino == written  # a rewritten page would be a new file
    assert epochs_on(index) == list(range(301, 200, -1))
    assert epochs_on(tmp_path / "earlier_2.html") == list(range(200, 100, -1))
    page.add_samples(7, 99_999, {"fake_B": image()})
    assert "99,999 images" in earlier.read_text(encoding="utf-8")


def test_a_resumed_run_restores_the_rows(tmp_path: Path) -> None:
    fill(TrainingPage(tmp_path, "run", {}), range(1, 230))
    with open(tmp_path / "samples.jsonl", "a", encoding="utf-8") as file:
        file.write('{"epoch": 230, "images": 23')  # killed while writing
    page = TrainingPage(tmp_path, "run", {})
    fill(page, range(230, 231))
    assert epochs_on(tmp_path / "index.html") == list(range(230, 100, -1))
    assert epochs_on(tmp_path / "earlier_1.html") == list(range(100, 0, -1))
    TrainingPage(tmp_path, "run", {})
    assert epochs_on(tmp_path / "index.html") == list(range(230, 100, -1))


@pytest.mark.parametrize(("seen", "newest"), [(0, []), (25, [2, 1]), (None, [220, 219])])
def test_rows_that_will_be_trained_again_are_dropped(tmp_path: Path, seen: int | None, newest: list[int]) -> None:
    fill(TrainingPage(tmp_path, "run", {}), range(1, 221))
    TrainingPage(tmp_path, "run", {}, seen=seen)
    assert epochs_on(tmp_path / "index.html")[:2] == newest
    assert (tmp_path / "earlier_1.html").exists() == (seen is None)
    TrainingPage(tmp_path, "run", {})
    assert epochs_on(tmp_path / "index.html")[:2] == newest


def test_damaged_pictures_and_records_are_removed(tmp_path: Path) -> None:
    fill(TrainingPage(tmp_path, "run", {}), range(1, 6))
    flip_a_bit(tmp_path / "images/epoch002_fake_B.png")
    (tmp_path / "images/epoch003_fake_B.png").unlink()
    record = tmp_path / "samples.jsonl"
    record.write_text(record.read_text().replace('"images": 40', '"images": 41'))
    page = TrainingPage(tmp_path, "run", {})
    assert epochs_on(tmp_path / "index.html") == [5, 1]
    assert page.removed_epochs == [2, 3]


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(("complete", "state"), [(True, "finished"), (False, "stopped")])
def test_only_the_page_of_a_running_training_reloads_itself(tmp_path: Path, complete: bool, state: str) -> None:
    page = TrainingPage(tmp_path, "run", {})
    fill(page, range(1, 3))
    assert 'data-reload="30"' in (tmp_path / "index.html").read_text(encoding="utf-8")
    page.finish(complete)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "data-reload=" not in text and f"{state}, as of" in text
    assert epochs_on(tmp_path / "index.html") == [2, 1]


def test_curves_are_pictures_on_the_page(tmp_path: Path) -> None:
    page = TrainingPage(tmp_path, "run", {})
    records = [
        {
            "epoch": 1,
            "step": step,
            "images": step,
            "seconds": 1.0,
            "lr": 2e-4,
            "D_A": 0.5,
            "D_B": 0.4,
            "my/loss": 1.0,
        }
        for step in range(1, 9)
    ]
    page.update_curves(records)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    files = re.findall(r'<img[^>]* src="(curve_[^"]+)"', text)
    assert files == ["curve_D.svg", "curve_my_loss.svg", "curve_lr.svg"]
    assert all((tmp_path / file).read_text(encoding="utf-8").startswith("<svg") for file in files)
    assert "8 images" in text


def test_curves_of_the_validation_come_first(tmp_path: Path) -> None:
    page = TrainingPage(tmp_path, "run", {})
    losses = [{"epoch": 1, "step": 1, "images": 1, "seconds": 1.0, "lr": 2e-4, "D_A": 0.5}]
    scores = [{"epoch": 1, "step": 1, "images": 1, "fake_B KID x1000 (Lite0)": 300.0, "mean KID x1000 (Lite0)": 300.0}]
    page.update_curves(losses, scores)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<summary>(Validation|Losses)", text) == ["Validation", "Losses"]
    files = re.findall(r'<img[^>]* src="(curve_[^"]+)"', text)
    assert files == ["curve_KID_x1000__Lite0_.svg", "curve_D.svg", "curve_lr.svg"]
    assert "300" in (tmp_path / files[0]).read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_named_and_later_calls_work(tmp_path: Path) -> None:
    page = TrainingPage(tmp_path / "web", "run", {})
    (tmp_path / "web/images").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"can't write .*epoch001_real_A\.png"):
        fill(page, range(1, 2))
    (tmp_path / "web/images").unlink()
    fill(page, range(2, 3))
    assert epochs_on(tmp_path / "web/index.html") == [2]


def test_the_header_shows_what_is_newest(tmp_path: Path) -> None:
    page = TrainingPage(tmp_path, "run", {})
    page.add_samples(40, 480, {"fake_B": image()})
    page.update_curves([{"epoch": 34, "step": 400, "images": 400, "seconds": 1.0, "G_A": 0.5, "lr": 0.1}])
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<li>480 images</li>" in text and "<li>400 images</li>" not in text
    page.update_curves([{"epoch": 41, "step": 500, "images": 500, "seconds": 1.0, "G_A": 0.5, "lr": 0.1}])
    assert "<li>500 images</li>" in (tmp_path / "index.html").read_text(encoding="utf-8")
