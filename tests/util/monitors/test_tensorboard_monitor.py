"""The event files of --use_tensorboard, read as TensorBoard reads them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Options
from util.errors import UserError
from util.monitors.tensorboard_monitor import TensorBoardMonitor

pytest.importorskip("tensorboard")


def record(images: int, **losses: float) -> dict[str, float]:
    return {"epoch": 1, "step": images, "images": images, "seconds": 0.1, "lr": 2e-4, **losses}


def read(folder: Path) -> Any:
    """The events in a folder, without those that a later session dropped."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 6)) for event in read(folder).Scalars(name)]


def test_losses_images_and_options_are_written(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    monitor = TensorBoardMonitor(tmp_path, {"lr": 2e-4, "netG": "resnet_6blocks"})
    monitor.add_losses(record(100, G_A=1.5, D_A=0.25))
    monitor.add_losses(record(200, G_A=1.25, D_A=float("nan")))
    monitor.show_images({"real_A": image}, 1, 200)
    monitor.close()

    events = read(tmp_path)
    assert sorted(events.Tags()["scalars"]) == ["losses/D_A", "losses/G_A", "lr"]
    assert points(tmp_path, "losses/G_A") == [(100, 1.5), (200, 1.25)]
    assert points(tmp_path, "losses/D_A") == [(100, 0.25)]
    (shown,) = events.Images("real_A")
    assert shown.step == 200
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown.encoded_image_string))), image)
    (table,) = events.Tensors("options/text_summary")
    assert "| netG | resnet_6blocks |" in table.tensor_proto.string_val[0].decode()


def test_a_resumed_run_has_no_point_twice(tmp_path: Path) -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    first = TensorBoardMonitor(tmp_path, {})
    for images in (100, 200, 300):
        first.add_losses(record(images, G_A=images / 100))
        first.show_images({"real_A": black}, 1, images)
    first.close()

    history = [record(100, G_A=1.0), record(200, G_A=2.0)]  # the checkpoint was made after 200 images
    second = TensorBoardMonitor(tmp_path, {}, history)
    for images in (300, 400):
        second.add_losses(record(images, G_A=images / 10))
    second.show_images({"real_A": white}, 1, 300)
    second.close()
    assert points(tmp_path, "losses/G_A") == [(100, 1.0), (200, 2.0), (300, 30.0), (400, 40.0)]
    shown = [
        (event.step, int(np.asarray(Image.open(io.BytesIO(event.encoded_image_string))).max()))
        for event in read(tmp_path).Images("real_A")
    ]
    assert shown == [(100, 0), (200, 0), (300, 255)]


def scores(images: int, value: float) -> dict[str, float]:
    return {"epoch": images // 100, "step": images, "images": images, "fake_B SWD x1000": value}


def test_scores_are_kept_when_a_run_is_resumed(tmp_path: Path) -> None:
    """The last validation may be after the last line of losses: its point stays, and appears once."""
    first = TensorBoardMonitor(tmp_path, {})
    first.add_losses(record(100, G_A=1.0))
    for images, value in ((100, 50.0), (150, 40.0), (200, 30.0)):
        first.add_scores(scores(images, value))
    first.close()
    second = TensorBoardMonitor(tmp_path, {}, [record(100, G_A=1.0)], scores=[scores(100, 50.0), scores(150, 40.0)])
    second.add_scores(scores(200, 35.0))
    second.close()
    assert points(tmp_path, "validation/fake_B SWD x1000") == [(100, 50.0), (150, 40.0), (200, 35.0)]
    other = tmp_path / "other"
    begun = TensorBoardMonitor(other, {}, [], scores=[scores(100, 50.0)])
    begun.close()
    assert points(other, "validation/fake_B SWD x1000") == [(100, 50.0)]


def test_a_run_resumed_without_event_files_begins_with_its_history(tmp_path: Path) -> None:
    monitor = TensorBoardMonitor(tmp_path, {}, [record(100, G_A=1.0), record(200, G_A=2.0)])
    monitor.add_losses(record(300, G_A=3.0))
    monitor.close()
    assert points(tmp_path, "losses/G_A") == [(100, 1.0), (200, 2.0), (300, 3.0)]


def test_a_run_that_starts_from_scratch_drops_earlier_events(tmp_path: Path) -> None:
    for value in (1.0, 5.0):
        monitor = TensorBoardMonitor(tmp_path, {})
        monitor.add_losses(record(100, G_A=value))
        monitor.close()
    assert points(tmp_path, "losses/G_A") == [(100, 5.0)]


def test_a_folder_that_cannot_be_written_is_reported_once_and_survived(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    printed: list[str] = []
    monitor = TensorBoardMonitor(tmp_path / "tensorboard", {}, [record(1, G_A=1.0)], printed.append)
    monitor.add_losses(record(2, G_A=1.0))
    monitor.show_images({"real_A": np.zeros((4, 4, 3), np.uint8)}, 1, 2)
    monitor.close()
    assert len(printed) == 1 and printed[0].startswith("tensorboard: can't write to ")


@pytest.mark.skipif(sys.platform != "linux", reason="limits the files of a process")
def test_a_full_disk_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    code = (
        "import resource, signal, time; from pathlib import Path\n"
        "from util.monitors.tensorboard_monitor import TensorBoardMonitor\n"
        f"monitor = TensorBoardMonitor(Path({str(tmp_path)!r}), {{}})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))\n"
        "for images in range(5000): monitor.add_losses({'images': images, 'G_A': 1.0})\n"
        "monitor.close()\n"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("tensorboard: can't write to ") == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_an_error_of_the_options(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("options.base_options.find_spec", lambda name: None if name == "tensorboard" else name)
    with pytest.raises(UserError, match=r"^--use_tensorboard: .*pip install tensorboard"):
        options("--use_tensorboard")
    assert not (tmp_path / "checkpoints").exists()
