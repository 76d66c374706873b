"""scripts/visdom_server.py: it listens on the loopback interface only, and runs with and without the page's assets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from scripts import visdom_server
from scripts.visdom_assets import Page
from util.monitors.visdom_monitor import VisdomMonitor, VisdomServer

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/visdom_server.py"
NO_INTERNET = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:1")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(find_spec("visdom") is None, reason="visdom is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(port: int, path: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
        return bytes(answer.read())


@contextmanager
def started(port: int, folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A running server; killed at the end if still running."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--port", str(port), "--env_path", str(folder), *arguments],
        env={**os.environ, **NO_INTERNET, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None and time.monotonic() < end, process.communicate()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str]) -> str:
    """Send SIGINT; returns the server's stderr, after checking exit code 0."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    return errors


def test_ctrl_c_is_not_lost_in_a_callback_whose_exceptions_python_ignores() -> None:
    class Item:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    loop = asyncio.new_event_loop()
    before = signal.signal(signal.SIGINT, interrupt := visdom_server.Interrupt())
    try:
        loop.call_soon(Item)
        loop.call_later(10, loop.stop)
        start = time.monotonic()
        loop.run_forever()
        assert interrupt.has_come and time.monotonic() - start < 5
    finally:
        signal.signal(signal.SIGINT, before)
        loop.close()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **NO_INTERNET, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.fixture
def bare_visdom(tmp_path: Path) -> Path:
    """A folder to put first on the path: an installed visdom without downloaded assets."""
    page = Page()
    package = tmp_path / "site/visdom"
    shutil.copytree(page.static.parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.map"))
    for file in (*(asset.target for asset in page.assets), "version.built"):
        (package / "static" / file).unlink(missing_ok=True)
    return package.parent


@pytest.fixture
def node_modules(tmp_path: Path) -> Path:
    """An npm folder with all files that the page needs; each contains its own name."""
    folder = tmp_path / "npm/node_modules"
    for asset in Page().assets:
        file = folder / asset.package / asset.source
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{asset.package} {asset.source}")
        (folder / asset.package / "package.json").write_text(json.dumps({"version": asset.version}))
    return folder


def test_without_assets_the_server_runs_and_warns(bare_visdom: Path, tmp_path: Path) -> None:
    port = free_port()
    with started(port, tmp_path / "envs", PYTHONPATH=str(bare_visdom)) as process:
        monitor = VisdomMonitor(VisdomServer("localhost", port, "main"), "run")
        monitor.add_losses({"images": 1, "G_A": 1.0})
        monitor.close()
        fetch(port, "")
        assert socket.socket().connect_ex(("127.0.0.1", port)) == 0
        assert socket.socket().connect_ex(("127.0.0.2", port)) != 0  # the server listens on no other address
        (warning,) = stop(process).splitlines()
    assert "blank" in warning and "npm install" in warning and "plotly.js-dist-min@2.11.1" in warning
    assert "--assets ~/visdom_page/node_modules" in warning


def test_npm_assets_complete_the_stock_server(bare_visdom: Path, node_modules: Path, tmp_path: Path) -> None:
    port = free_port()
    with started(port, tmp_path / "envs", "--assets", str(node_modules), PYTHONPATH=str(bare_visdom)) as process:
        assert fetch(port, "static/js/jquery.min.js") == b"jquery dist/jquery.min.js"
        assert fetch(port, "static/js/plotly-plotly.min.js") == b"plotly.js-dist-min plotly.min.js"
        assert stop(process) == ""
    with started(port, tmp_path / "envs", PYTHONPATH=str(bare_visdom)) as process:  # the assets stay installed
        assert stop(process) == ""

    # Visdom itself then has nothing left to download.
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); from scripts.visdom_server import ClientLibrariesHidden; "
        "sys.meta_path.insert(0, ClientLibrariesHidden()); "
        "from visdom.server.build import download_scripts; download_scripts()"
    )
    stock = run("-c", code, PYTHONPATH=str(bare_visdom))
    assert (stock.returncode, stock.stdout, stock.stderr) == (0, "Checking for scripts.\n", "")


@pytest.mark.parametrize("fault", ["version", "file"])
def test_npm_folder_that_does_not_fit(fault: str, bare_visdom: Path, node_modules: Path) -> None:
    if fault == "version":
        (node_modules / "react/package.json").write_text(json.dumps({"version": "19.0.0"}))
    else:
        (node_modules / "react/umd/react.production.min.js").unlink()
    arguments = (str(SCRIPT), "--port", str(free_port()), "--assets", str(node_modules))
    result = run(*arguments, PYTHONPATH=str(bare_visdom))
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert str(node_modules) in result.stderr and "react" in result.stderr and "npm install" in result.stderr
    assert not (bare_visdom / "visdom/static/js/jquery.min.js").exists()  # all or nothing


def test_occupied_port_and_unusable_folder_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        occupied = run(str(SCRIPT), "--port", port)
    unusable = run(str(SCRIPT), "--port", str(free_port()), "--env_path", str(tmp_path / "file/envs"))
    for result, option in ((occupied, f"--port {port}"), (unusable, "--env_path")):
        assert result.returncode == 2 and option in result.stderr and "Traceback" not in result.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(find_spec("visdom") is not None and not Page().is_complete(), reason="no page assets")
def test_page_shows_curves_and_images(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    port = free_port()
    with started(port, tmp_path / "envs"):
        monitor = VisdomMonitor(VisdomServer("localhost", port, "main"), "a_run", image_size=64)
        for images in range(1, 20):
            monitor.add_losses({"images": images, "G_A": 1.0 / images, "cycle_B": 2.0 / images})
        monitor.show_images({"fake_B": np.full((64, 64, 3), 128, np.uint8)}, 1, 19)
        monitor.close()
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking dump-dom"
        options = [f"--{flag}" for flag in flags.split()]
        options += [f"--user-data-dir={tmp_path / 'chromium'}", "--virtual-time-budget=20000"]
        page = subprocess.run(
            [CHROMIUM, *options, f"http://localhost:{port}/"],
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
    assert "a_run: losses" in page and "a_run: epoch 1, 19 images seen" in page
    assert all(f">{name}</text>" in page for name in ("G_A", "cycle_B"))
    assert 'src="data:image/png;base64,' in page
