"""Every monitor in util/monitors: found by its file's name, created by its options, fed and closed."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Options
from util import monitors
from util.errors import UserError

IMAGE = np.zeros((8, 8, 3), np.uint8)
SCORES = {
    "epoch": 1,
    "step": 2,
    "images": 2,
    "fake_A SWD x1000": 30.5,
    "fake_B SWD x1000": 40.5,
    "mean SWD x1000": 35.5,
}


def record(images: int) -> dict[str, float]:
    return {"epoch": 1, "step": images, "images": images, "seconds": 0.1, "lr": 2e-4, "G_A": 0.5}


class AcceptingHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of an HTTP server that accepts everything."""
    with ThreadingHTTPServer(("127.0.0.1", 0), AcceptingHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def flags(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[object]]]:
    """The flags that ask for each monitor. A new monitor needs an entry here."""
    for name, value in (("MODE", "offline"), ("DIR", str(tmp_path)), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    yield {
        "tensorboard": ["--use_tensorboard", "--display_id", 0],
        "visdom": ["--display_server", "http://127.0.0.1", "--display_port", port],
        "wandb": ["--use_wandb", "--display_id", 0],
    }
    if wandb := sys.modules.get("wandb"):
        wandb.teardown()  # it keeps the first WANDB_DIR otherwise


@pytest.mark.parametrize("name", monitors.names())
def test_each_monitor_is_created_by_its_options_and_takes_losses_and_images(
    name: str, options: Options, flags: dict[str, list[object]]
) -> None:
    opt = options(*flags[name])
    assert [other for other in monitors.names() if monitors.find(other).is_requested(opt)] == [name]
    printed: list[str] = []
    (monitor,) = monitors.create_monitors(opt, [record(1), record(2)], printed.append, [SCORES])
    monitor.add_losses(record(3))
    monitor.add_losses({**record(4), "G_A": float("nan")})
    monitor.add_scores({**SCORES, "epoch": 2, "images": 4})
    monitor.show_images({"real_A": IMAGE, "fake_B": IMAGE}, 1, 4)
    monitor.close()
    assert printed == []


def test_names_are_those_of_the_files() -> None:
    assert monitors.names() == ["tensorboard", "visdom", "wandb"]


class Own:
    """A monitor from outside the tree, with the arguments of `create`."""

    def __init__(self, opt: argparse.Namespace, history: monitors.History, print_message: object) -> None:
        self.calls: list[object] = [opt.name, len(history)]

    def add_losses(self, record: Mapping[str, float]) -> None:
        self.calls.append(record["images"])

    def show_images(self, visuals: Mapping[str, np.ndarray], epoch: int, images: int) -> None:
        self.calls.append(list(visuals))

    def close(self) -> None:
        self.calls.append("closed")


def test_a_monitor_of_your_own(options: Options) -> None:
    opt = options("--display_id", 0, "--monitor", f"{__name__}:Own")
    (monitor,) = monitors.create_monitors(opt, [record(1)])
    monitor.add_losses(record(2))
    monitor.add_scores(SCORES)  # ignored: this monitor has no such method
    monitor.show_images({"fake_B": IMAGE}, 1, 2)
    monitor.close()
    assert isinstance(monitor.monitor, Own) and monitor.monitor.calls == [opt.name, 1, 2, ["fake_B"], "closed"]


class Scoring(Own):
    """A monitor that also shows scores."""

    def __init__(
        self, opt: argparse.Namespace, history: monitors.History, print_message: object, scores: monitors.History
    ) -> None:
        super().__init__(opt, history, print_message)
        self.calls.append(len(scores))

    def add_scores(self, record: Mapping[str, float]) -> None:
        self.calls.append(record["mean SWD x1000"])


def test_a_monitor_of_your_own_that_shows_scores(options: Options) -> None:
    opt = options("--display_id", 0, "--monitor", f"{__name__}:Scoring")
    (monitor,) = monitors.create_monitors(opt, [record(1)], scores=[SCORES, SCORES])
    monitor.add_scores(SCORES)
    assert isinstance(monitor.monitor, Scoring) and monitor.monitor.calls == [opt.name, 1, 2, 35.5]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tensorboard", "expected package.module:name"),
        (f"{__name__}:Other", "has no Other"),
        (f"{__name__}:IMAGE", "expected a function or a class, not ndarray"),
        ("no_such_package:Own", "no module no_such_package is found"),
    ],
)
def test_a_wrong_name_is_an_error_of_the_options(options: Options, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^--monitor {name}: .*{sentence}"):
        options("--monitor", name)


class Failing(Own):
    def add_losses(self, record: Mapping[str, float]) -> None:
        raise ZeroDivisionError("no service")


class Incomplete:
    def __init__(self, opt: argparse.Namespace, history: monitors.History, print_message: object) -> None: ...

    def close(self) -> None: ...


def test_a_monitor_that_raises_is_reported_once_and_no_longer_used(options: Options) -> None:
    printed: list[str] = []
    opt = options("--display_id", 0, "--monitor", f"{__name__}:Failing")
    (monitor,) = monitors.create_monitors(opt, [], printed.append)
    for images in (1, 2):
        monitor.add_losses(record(images))
    monitor.close()
    assert printed == [
        "warning: Failing.add_losses failed (ZeroDivisionError: no service): this monitor is no longer used"
    ]


def test_a_monitor_without_its_methods_is_an_error(options: Options) -> None:
    opt = options("--display_id", 0, "--monitor", f"{__name__}:Incomplete")
    with pytest.raises(UserError, match="Incomplete has no method add_losses and no show_images"):
        monitors.create_monitors(opt, [])


def test_no_monitor_is_asked_for_without_its_options() -> None:
    assert monitors.create_monitors(argparse.Namespace(), []) == []
