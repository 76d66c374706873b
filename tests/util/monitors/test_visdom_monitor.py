"""Live curves and images, against a real visdom server and against failing servers."""

from __future__ import annotations

import argparse
import base64
import http.server
import io
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from util.errors import UserError
from util.monitors import create_monitors, visdom_monitor
from util.monitors.visdom_monitor import CAPTION_HEIGHT, VisdomMonitor, VisdomServer, thin, traces

ROOT = Path(__file__).resolve().parents[3]
RED, BLUE = (np.full((8, 8, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
CALL_SECONDS = 0.005  # what a call may cost the training thread


def record(images: int, **losses: float) -> dict[str, float]:
    return {"epoch": 1, "step": images, "images": images, "seconds": 0.1, "lr": 2e-4, **losses}


def create(server: VisdomServer, history: Sequence[Mapping[str, float]] = (), **settings: Any) -> VisdomMonitor:
    """A monitor of a run named "run" with short pauses."""
    return VisdomMonitor(server, "run", history, retry_seconds=0.1, pause_seconds=0.05, **settings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def ask(port: int, path: str, **message: Any) -> Any:
    """The server's answer to a message; None without a server or such a path."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", json.dumps(message).encode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


def window(port: int, env: str, win: int) -> Any:
    return ask(port, "win_data", eid=env, win=str(win))


def curves(port: int, env: str, win: int = 1) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve that the server shows."""
    shown = window(port, env, win)
    lines = shown["content"]["data"] if shown else []
    return {line["name"]: list(zip(line["x"], line["y"], strict=True)) for line in lines}


def picture(shown: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(shown["content"]["src"].partition(",")[2])))


@contextmanager
def visdom_server(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real server without internet access, killed at the end."""
    command = [sys.executable, str(ROOT / "scripts/visdom_server.py"), "--port", str(port)]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:1")
    process = subprocess.Popen(
        [*command, "--env_path", str(folder)],
        env={**os.environ, **nowhere},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: ask(port, "env_state"))
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that runs for all tests of this file."""
    pytest.importorskip("visdom")
    port = free_port()
    with visdom_server(port, tmp_path_factory.mktemp("visdom")):
        yield port


def seconds_of_calls(monitor: VisdomMonitor, calls: int = 100) -> float:
    """The 90th percentile of the duration of a call: other processes may delay the rest."""
    durations = []
    for images in range(calls):
        start = time.perf_counter()
        monitor.add_losses(record(images, G_A=1.0))
        monitor.show_images({"real_A": RED}, 1, images)
        durations.append(time.perf_counter() - start)
        time.sleep(0.002)
    return sorted(durations)[-calls // 10]


def test_curves_and_images_reach_the_server(port: int) -> None:
    server = VisdomServer("localhost", port, "curves")
    monitor = create(server, columns=2, image_size=32)
    monitor.add_losses(record(100, D_A=0.5, G_A=1.5))
    monitor.add_losses(record(200, D_A=0.25, G_A=1.25))
    monitor.show_images({"real_A": RED, "fake_B": BLUE, "rec_A": RED}, epoch=3, images=200)
    monitor.close()

    assert curves(port, "curves") == {"D_A": [(100, 0.5), (200, 0.25)], "G_A": [(100, 1.5), (200, 1.25)]}
    shown = window(port, "curves", 2)
    assert shown["title"] == "run: epoch 3, 200 images seen"
    grid = picture(shown)
    assert grid.size == (64, 2 * (32 + CAPTION_HEIGHT))
    places = [(16, 16), (48, 16), (16, 32 + CAPTION_HEIGHT + 16)]
    assert [grid.getpixel(place) for place in places] == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    caption = np.asarray(grid)[32 : 32 + CAPTION_HEIGHT, :32]
    assert caption.min() < 100 and caption.max() == 255  # black letters on white


def test_options_and_history_of_a_resumed_run(port: int) -> None:
    opt = argparse.Namespace(
        is_train=True,
        display_id=5,
        display_server="http://localhost",
        display_port=port,
        display_env="resumed",
        display_ncols=0,
        display_winsize=40,
        name="run",
        use_wandb=False,
        wandb_project_name="project",
    )
    history = [record(100, G_A=3.0), record(200, G_A=2.0)]
    (monitor,) = create_monitors(opt, history)
    wait_until(lambda: curves(port, "resumed", 5))
    assert curves(port, "resumed", 5) == {"G_A": [(100, 3.0), (200, 2.0)]}

    monitor.add_losses(record(300, G_A=1.0))
    monitor.show_images({"real_A": RED, "fake_B": BLUE}, epoch=2, images=300)
    monitor.close()
    assert curves(port, "resumed", 5) == {"G_A": [(100, 3.0), (200, 2.0), (300, 1.0)]}
    for win, color in ((6, (255, 0, 0)), (7, (0, 0, 255))):  # without columns, a window for each image
        shown = picture(window(port, "resumed", win))
        assert shown.size == (40, 40 + CAPTION_HEIGHT) and shown.getpixel((20, 20)) == color


def test_each_metric_of_the_validation_has_a_window(port: int) -> None:
    def scores(epoch: int, swd: float) -> dict[str, float]:
        figures = {"fake_A SWD x1000": swd, "fake_B SWD x1000": swd + 1, "fake_B SSIM": 0.5, "mean SWD x1000": swd}
        return {"epoch": epoch, "step": epoch, "images": 10 * epoch, **figures}

    server = VisdomServer("http://127.0.0.1", port, "validated")
    monitor = VisdomMonitor(server, "run", scores=[scores(1, 50.0)], retry_seconds=0.1, pause_seconds=0.05)
    monitor.add_scores(scores(2, 40.0))
    monitor.close()
    assert ask(port, "win_data", eid="validated", win="1_SWD x1000")["title"] == "run: validation, SWD x1000"
    shown = {
        metric: {line["name"]: list(zip(line["x"], line["y"], strict=True)) for line in window["content"]["data"]}
        for metric in ("SWD x1000", "SSIM")
        if (window := ask(port, "win_data", eid="validated", win=f"1_{metric}"))
    }
    assert shown == {
        "SWD x1000": {"fake_A": [(10, 50.0), (20, 40.0)], "fake_B": [(10, 51.0), (20, 41.0)]},
        "SSIM": {"fake_B": [(10, 0.5), (20, 0.5)]},
    }


def test_only_the_latest_images_are_shown(port: int) -> None:
    monitor = create(VisdomServer("localhost", port, "latest"), image_size=8)
    for images in range(50):
        monitor.show_images({"real_A": BLUE if images == 49 else RED}, 1, images)
    monitor.close()
    assert picture(window(port, "latest", 2)).getpixel((4, 4)) == (0, 0, 255)


def test_a_restarted_server_gets_everything(tmp_path: Path) -> None:
    pytest.importorskip("visdom")
    port, printed = free_port(), list[str]()
    server = VisdomServer("localhost", port, "back")
    monitor = create(server, image_size=8, print_message=printed.append)
    with visdom_server(port, tmp_path / "first"):
        monitor.add_losses(record(100, G_A=3.0))
        monitor.show_images({"real_A": RED}, 1, 100)
        wait_until(lambda: curves(port, "back") and window(port, "back", 2))
    monitor.add_losses(record(200, G_A=2.0))
    assert seconds_of_calls(monitor) < CALL_SECONDS
    wait_until(lambda: printed)

    with visdom_server(port, tmp_path / "second"):
        wait_until(lambda: curves(port, "back") and window(port, "back", 2))
        points = curves(port, "back")["G_A"]
        assert points[:2] == [(100, 3.0), (200, 2.0)] and len(points) == 102
        monitor.close()
    assert len(printed) == 1


def test_no_server_costs_one_line() -> None:
    port, printed = free_port(), list[str]()
    monitor = create(VisdomServer("http://localhost", port, "main"), print_message=printed.append)
    assert seconds_of_calls(monitor) < CALL_SECONDS
    time.sleep(0.3)  # enough time for several attempts
    monitor.close()
    assert len(printed) == 1
    assert f"python scripts/visdom_server.py --port {port}" in printed[0] and len(printed[0]) < 120


def test_stalled_server_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visdom_monitor, "CLOSE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as stalled:  # accepts and never answers
        start = time.perf_counter()
        server = VisdomServer("http://127.0.0.1", stalled.getsockname()[1], "main", timeout_seconds=60)
        monitor = create(server, [record(1, G_A=1.0)])
        assert time.perf_counter() - start < 2  # and not 60
        assert seconds_of_calls(monitor) < CALL_SECONDS
        start = time.perf_counter()
        monitor.close()
        assert time.perf_counter() - start < 4


def test_a_stalled_server_times_out_and_is_retried() -> None:
    printed: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        server = VisdomServer("http://127.0.0.1", stalled.getsockname()[1], "main", timeout_seconds=0.1)
        monitor = create(server, [record(1, G_A=1.0)], print_message=printed.append)
        stalled.settimeout(10)
        waiting = [stalled.accept() for _ in range(2)]
        monitor.close()
        assert len(waiting) == 2
    assert len(printed) == 1 and "timed out" in printed[0]


class BrokenServer(http.server.ThreadingHTTPServer):
    """Refuses the first two requests and takes the rest."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), BrokenHandler)
        self.requests = 0
        self.taken: list[dict[str, Any]] = []


class BrokenHandler(http.server.BaseHTTPRequestHandler):
    server: BrokenServer

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests += 1
        if self.server.requests <= 2:
            self.send_error(500)
        else:
            self.server.taken.append(message)
            self.send_response(200)
            self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


def test_an_http_error_is_retried() -> None:
    printed: list[str] = []
    with BrokenServer() as broken:
        threading.Thread(target=broken.serve_forever, args=(0.05,), daemon=True).start()
        server = VisdomServer("http://127.0.0.1", broken.server_port, "main")
        monitor = create(server, [record(1, G_A=1.0)], print_message=printed.append)
        wait_until(lambda: broken.taken)
        monitor.close()
        broken.shutdown()
    assert len(printed) == 1 and "500" in printed[0]
    assert broken.taken[0]["data"][0]["y"] == [1.0]


def test_wrong_server_name_is_reported_and_survived() -> None:
    printed: list[str] = []
    server = VisdomServer("http://localhost:80", 8097, "main")
    monitor = create(server, [record(1, G_A=1.0)], print_message=printed.append)
    wait_until(lambda: printed)
    monitor.close()
    assert "http://localhost:80:8097" in printed[0]


def test_server_that_is_not_a_url_is_a_user_error() -> None:
    with pytest.raises(UserError, match="--display_server"):
        VisdomServer("http://[localhost", 8097, "main")


def test_long_curves_are_thinned_evenly() -> None:
    records = [record(images) for images in range(12345)]
    places = [line["images"] for line in thin(records, 1000)]
    assert len(places) == 1000 and places[0] == 0 and places[-1] == 12344
    assert set(np.diff(places)) == {12, 13}
    assert thin(records[:1000], 1000) == records[:1000]


def test_gaps_where_a_loss_is_missing_or_not_finite() -> None:
    lines = traces([record(1, G_A=1.0), record(2, G_A=math.nan, idt_A=0.5), record(3, G_A=math.inf)])
    assert {line["name"]: line["y"] for line in lines} == {
        "G_A": [1.0, None, None],
        "idt_A": [None, 0.5, None],
    }
    json.dumps(lines, allow_nan=False)


def test_packages_of_other_monitors_are_not_imported() -> None:
    code = (
        "import argparse, sys; from util.monitors import create_monitors; "
        "assert create_monitors(argparse.Namespace(is_train=True, display_id=0, use_wandb=False), []) == []; "
        "assert not {'visdom', 'wandb', 'torch', 'tensorboard', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
