"""Start visdom's server, for this machine only, with or without internet access.

    python scripts/visdom_server.py
    python scripts/visdom_server.py --port 8098 --assets ~/visdom_page/node_modules

The stock server downloads assets of its page when it first starts, and fails if it can't. This one always starts.
Without the assets it still accepts curves and images, and prints how to install the assets.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.abc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import warnings
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from scripts.visdom_assets import Page
from util.command import script_command
from util.errors import UserError, run_main

DOWNLOAD_SECONDS = 10.0  # the longest time that the start waits for the download of the page's assets


class ClientLibrariesHidden(importlib.abc.MetaPathFinder):
    """Makes imports of torch and openTSNE fail. Only visdom's client needs them; the server starts faster without."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in ("torch", "openTSNE"):
            raise ModuleNotFoundError(f"{name} is hidden from visdom's server")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8097, help="port, --display_port of train.py")
    parser.add_argument("--env_path", type=Path, default=Path.home() / ".visdom", help="folder of saved environments")
    parser.add_argument(
        "--assets", type=Path, metavar="NODE_MODULES", help="npm folder to install the page's assets from"
    )
    return parser.parse_args()


def check_port(port: int) -> None:
    """Raise UserError if the server cannot listen on this port. (visdom 0.3 would silently use another one.)"""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port}: {error}; use another port, and --display_port of train.py") from error


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--env_path {folder}: {error}; choose a writable folder") from error


def download() -> None:
    """Let visdom download the assets, without output: it has no time-out and fails with tracebacks."""
    logging.disable()
    ignored = contextlib.suppress(Exception, KeyboardInterrupt)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), ignored:
        from visdom.server.build import download_scripts

        download_scripts()


def complete(page: Page) -> None:
    """Try to download missing assets for DOWNLOAD_SECONDS; print a warning if the page is still incomplete."""
    process = multiprocessing.Process(target=download, daemon=True)
    process.start()
    process.join(DOWNLOAD_SECONDS)  # a slow download continues in its own process
    if not page.is_complete():
        print(
            "warning: visdom accepts curves and images, but its page stays blank: its assets could not be downloaded; "
            f"install them with `{page.npm_command()}` and "
            f"`{script_command('scripts/visdom_server.py', [])} --assets ~/visdom_page/node_modules`",
            file=sys.stderr,
            flush=True,
        )


def serve(port: int, env_path: Path) -> None:
    """Run the stock server until Ctrl-C."""
    from visdom.server.run_server import start_server

    # The page requests a style sheet that does not exist, and all missing assets: do not log each 404.
    logging.getLogger("tornado.general").setLevel(logging.CRITICAL)
    start_server(port=port, base_url="", env_path=str(env_path), bind_local=True, print_func=announce)


def announce(port: int) -> None:
    print(f"visdom: http://localhost:{port} on this machine; stop it with Ctrl-C", flush=True)


class Interrupt:
    """The handler of Ctrl-C: stops the server's event loop.

    KeyboardInterrupt would be lost if the signal arrives in a callback whose exceptions Python ignores.
    """

    def __init__(self) -> None:
        self.has_come = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.has_come = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # not started yet
            raise KeyboardInterrupt from None
        loop.call_soon_threadsafe(loop.stop)


def main() -> int:
    arguments = parse_arguments()
    check_port(arguments.port)
    make_folder(arguments.env_path)
    page = Page()
    if arguments.assets:
        page.install(arguments.assets)
    sys.meta_path.insert(0, ClientLibrariesHidden())
    interrupt = Interrupt()
    signal.signal(signal.SIGINT, interrupt)
    try:
        if not page.is_complete():
            complete(page)
        serve(arguments.port, arguments.env_path)
    except (KeyboardInterrupt, RuntimeError):  # asyncio.run raises RuntimeError if its loop is stopped
        if not interrupt.has_come:
            raise
    # Python would warn of connections that tornado had just accepted.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
    print("visdom: stopped")
    return 0


if __name__ == "__main__":
    run_main(main)
