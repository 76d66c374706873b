"""Start visdom's server, for this machine only, with or without internet.

    python scripts/visdom_server.py
    python scripts/visdom_server.py --port 8098 --assets ~/visdom_page/node_modules

The stock server downloads parts of its page when it first starts, and dies if it can't. Here it starts in any
case: without those parts it takes a run's curves and images, and one sentence tells how to place them.
"""

from __future__ import annotations

import argparse
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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from scripts.visdom_assets import Page
from util.errors import UserError, run_main

DOWNLOAD_SECONDS = 10.0  # how long the start may wait for the download of the page's assets


class ClientLibrariesHidden(importlib.abc.MetaPathFinder):
    """Makes their import fail. Visdom tries it, for its client only; the server starts far faster without."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in ("torch", "openTSNE"):
            raise ModuleNotFoundError(f"{name} is hidden from visdom's server")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8097, help="as --display_port of train.py")
    parser.add_argument("--env_path", type=Path, default=Path.home() / ".visdom", help="folder of saved environments")
    parser.add_argument(
        "--assets", type=Path, metavar="NODE_MODULES", help="npm folder to place the page's assets from first"
    )
    return parser.parse_args()


def check_port(port: int) -> None:
    """Raise UserError unless a server can listen there. (visdom 0.3 would silently take another port.)"""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port}: {error}; give another one, to train.py as --display_port") from error


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--env_path {folder}: {error}; give a folder that can be written") from error


def download() -> None:
    """Let visdom download its page's assets, in silence; it knows no time-out and fails with tracebacks."""
    logging.disable()
    ignored = contextlib.suppress(Exception, KeyboardInterrupt)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), ignored:
        from visdom.server.build import download_scripts

        download_scripts()


def complete(page: Page) -> None:
    """Try a few seconds to download what the page lacks; say one sentence if it isn't complete then."""
    process = multiprocessing.Process(target=download, daemon=True)
    process.start()
    process.join(DOWNLOAD_SECONDS)  # on a slow line it goes on beside the server
    if not page.is_complete():
        print(
            "visdom: curves and images are taken, but the page stays blank, as its assets could not be "
            f"downloaded; place them with `{page.npm_command()}` and "
            "`python scripts/visdom_server.py --assets ~/visdom_page/node_modules`",
            file=sys.stderr,
            flush=True,
        )


def serve(port: int, env_path: Path) -> None:
    """Run the stock server until Ctrl-C."""
    from visdom.server.run_server import start_server

    # The page asks for a style sheet that is never there, and while blank for all that it lacks.
    logging.getLogger("tornado.general").setLevel(logging.CRITICAL)
    start_server(port=port, base_url="", env_path=str(env_path), bind_local=True, print_func=announce)


def announce(port: int) -> None:
    print(f"visdom: http://localhost:{port} on this machine; stop it with Ctrl-C", flush=True)


def main() -> int:
    arguments = parse_arguments()
    check_port(arguments.port)
    make_folder(arguments.env_path)
    page = Page()
    if arguments.assets:
        page.place(arguments.assets)
    sys.meta_path.insert(0, ClientLibrariesHidden())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts it with & has it ignored
    try:
        if not page.is_complete():
            complete(page)
        serve(arguments.port, arguments.env_path)
    except KeyboardInterrupt:
        # Python would complain of connections that tornado had just begun to serve.
        warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
        print("visdom: stopped")
    return 0


if __name__ == "__main__":
    run_main(main)
