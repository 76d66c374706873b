"""Loss curves and current images on a visdom server, without slowing down the training.

A background thread sends whole curves and the latest images, and retries until the server has them, so a server that
was down misses nothing.

The server's HTTP interface is used directly. visdom's own client has no time-out on answers, treats an HTTP error as
success, and imports numerical libraries, which can hang the data loader's workers if they fork meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from PIL import Image, ImageDraw, ImageOps

from util.command import script_command
from util.errors import UserError
from util.monitors.base import loss_values, print_line

if TYPE_CHECKING:
    import numpy as np

CURVE_POINTS = 1000  # longer curves are thinned, so that sending one stays cheap in a long run
CURVE_LAYOUT = {
    "xaxis": {"title": {"text": "images seen", "standoff": 4}},
    "yaxis": {"title": {"text": "loss"}},
    "showlegend": True,
    "legend": {"orientation": "h", "y": -0.25},
    "margin": {"l": 60, "r": 20, "t": 30, "b": 60},
}
CAPTION_HEIGHT = 20  # pixels, for an image's name
TITLE_HEIGHT = 20  # pixels that a window on the page needs besides its image
CLOSE_SECONDS = 3.0  # how long the end of a run may wait for the server


def is_requested(opt: argparse.Namespace) -> bool:
    return getattr(opt, "display_id", 0) > 0  # an option of train.py only


def create(
    opt: argparse.Namespace,
    history: Sequence[Mapping[str, float]],
    print_message: Callable[[str], None],
    scores: Sequence[Mapping[str, float]] = (),
) -> VisdomMonitor:
    return VisdomMonitor(
        VisdomServer(opt.display_server, opt.display_port, opt.display_env),
        opt.name,
        history,
        scores,
        window=opt.display_id,
        columns=opt.display_ncols,
        image_size=opt.display_winsize,
        print_message=print_message,
    )


class VisdomServer:
    """Sends windows to one environment of a visdom server."""

    def __init__(self, server: str, port: int, env: str, timeout_seconds: float = 10.0) -> None:
        """`server` is --display_server, by default http. Raises UserError if it is not a URL."""
        self.url = f"{server if '://' in server else f'http://{server}'}".rstrip("/") + f":{port}"
        self.port = port
        self._env = env
        self._timeout_seconds = timeout_seconds
        try:
            local = urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")
        except ValueError as error:
            raise UserError(f"--display_server {server}: {error}; expected a URL such as http://localhost") from error
        # A proxy can't reach this machine's loopback interface.
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))

    def send(self, window: int | str, content: list[dict[str, Any]], opts: dict[str, Any], **rest: Any) -> None:
        """Create or replace a window. Raises OSError, HTTPException or ValueError if the server did not accept it."""
        message = {"win": str(window), "eid": self._env, "data": content, "opts": opts, **rest}
        request = urllib.request.Request(
            f"{self.url}/events", json.dumps(message).encode(), {"Content-Type": "application/json"}
        )
        with self._opener.open(request, timeout=self._timeout_seconds) as response:
            response.read()


class Pictures(NamedTuple):
    """The images of one training step."""

    visuals: Mapping[str, np.ndarray]
    epoch: int
    images: int


class VisdomMonitor:
    """A Monitor (see util.monitors.base): curves in window `window`, images in the following ones."""

    def __init__(
        self,
        server: VisdomServer,
        name: str,
        history: Iterable[Mapping[str, float]] = (),
        scores: Iterable[Mapping[str, float]] = (),
        *,
        window: int = 1,
        columns: int = 4,
        image_size: int = 256,
        print_message: Callable[[str], None] = print_line,
        retry_seconds: float = 10.0,
        pause_seconds: float = 2.0,
    ) -> None:
        """Start the background thread.

        Args:
            history: earlier lines of losses.jsonl, the start of the curves.
            scores: earlier lines of metrics.jsonl, the start of the curves of validation.
            columns: images in a row of the grid; 0 gives each image its own window.
            image_size: width and height of an image, in pixels.
            retry_seconds: pause after a failure.
            pause_seconds: pause after sending.
        """
        self._server, self._name, self._print_message = server, name, print_message
        self._window, self._columns, self._image_size = window, columns, image_size
        self._retry_seconds, self._pause_seconds = retry_seconds, pause_seconds
        self._records = [dict(record) for record in history]
        self._scores = [dict(record) for record in scores]
        self._pictures: Pictures | None = None
        self._pictures_sent: Pictures | None = None
        self._has_warned = False
        self._lock = threading.Lock()
        self._news, self._closing = threading.Event(), threading.Event()
        if self._records:
            self._news.set()
        self._thread = threading.Thread(target=self._run, name="visdom", daemon=True)
        self._thread.start()

    def add_losses(self, record: Mapping[str, float]) -> None:
        with self._lock:
            self._records.append(dict(record))
        self._news.set()

    def add_scores(self, record: Mapping[str, float]) -> None:
        with self._lock:
            self._scores.append(dict(record))
        self._news.set()

    def show_images(self, visuals: Mapping[str, np.ndarray], epoch: int, images: int) -> None:
        with self._lock:
            self._pictures = Pictures(dict(visuals), epoch, images)
        self._news.set()

    def close(self) -> None:
        self._closing.set()
        self._news.set()
        self._thread.join(CLOSE_SECONDS)
        self._has_warned = True  # too late for the user to start a server

    def _run(self) -> None:
        last = False
        while not last:
            self._news.wait()
            last = self._closing.is_set()
            self._closing.wait(self._pause_seconds if self._send() else self._retry_seconds)

    def _send(self) -> bool:
        """Send the curves, and the images if the server does not have them yet; returns False after a failure."""
        self._news.clear()
        with self._lock:
            records, scores, pictures = thin(self._records), thin(self._scores), self._pictures
        try:
            if records:
                self._send_curves(records)
            self._send_scores(scores)
            if pictures is not self._pictures_sent and pictures is not None:
                self._send_pictures(pictures)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._pictures_sent = None  # a restarted server does not have them any more
            self._news.set()
            self._warn(error)
            return False
        self._pictures_sent = pictures
        return True

    def _warn(self, error: Exception) -> None:
        """Print one line for the whole run; a short one if nothing listens there, as for users without visdom."""
        if self._has_warned:
            return
        self._has_warned = True
        reason = error.reason if type(error) is urllib.error.URLError else error
        if isinstance(reason, ConnectionRefusedError):
            start = script_command("scripts/visdom_server.py", ["--port", str(self._server.port)])
            self._print_message(f"note: no visdom server at {self._server.url} (to start one: {start})")
        else:
            self._print_message(f"visdom: sending to {self._server.url} failed ({reason}); will keep trying")

    def _send_curves(self, records: Sequence[Mapping[str, float]]) -> None:
        # Without a size, the window keeps the one that the user gave it on the page.
        opts = {"title": f"{self._name}: losses"}
        self._server.send(self._window, traces(records), opts, layout=CURVE_LAYOUT)

    def _send_scores(self, records: Sequence[Mapping[str, float]]) -> None:
        """One window for each metric: their scales differ."""
        metrics: dict[str, list[dict[str, Any]]] = {}
        for trace in traces(records):
            visual, _, metric = trace["name"].partition(" ")
            if visual.startswith("fake"):
                metrics.setdefault(metric, []).append(trace | {"name": visual, "mode": "lines+markers"})
        for metric, lines in metrics.items():
            opts = {"title": f"{self._name}: validation, {metric}"}
            layout = CURVE_LAYOUT | {"yaxis": {"title": {"text": metric}}}
            self._server.send(f"{self._window}_{metric}", lines, opts, layout=layout)

    def _send_pictures(self, pictures: Pictures) -> None:
        when = f"epoch {pictures.epoch}, {pictures.images} images seen"
        panels = {self._name: pictures.visuals}
        if self._columns <= 0:
            panels = {name: {name: visual} for name, visual in pictures.visuals.items()}
        for window, (title, visuals) in enumerate(panels.items(), self._window + 1):
            grid = image_grid(visuals, max(self._columns, 1), self._image_size)
            content = {"type": "image", "content": {"src": as_data_url(grid)}}
            opts = {"title": f"{title}: {when}", "width": grid.width, "height": grid.height + TITLE_HEIGHT}
            self._server.send(window, [content], opts)


def thin(records: Sequence[Mapping[str, float]], points: int = CURVE_POINTS) -> list[Mapping[str, float]]:
    """At most `points` of the records, evenly spaced, including the first and the last."""
    if len(records) <= points:
        return list(records)
    return [records[place * (len(records) - 1) // (points - 1)] for place in range(points)]


def traces(records: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """One plotly line per loss over the images seen, with gaps where a loss is missing or not finite."""
    places = [record["images"] for record in records]
    values = [loss_values(record) for record in records]
    names = dict.fromkeys(name for losses in values for name in losses)
    return [
        {
            "type": "scatter",
            # A line with a single point would be invisible.
            "mode": "lines" if len(records) > 1 else "markers",
            "name": name,
            "x": places,
            "y": [losses.get(name) for losses in values],
            "marker": {"line": {}},  # the page's smoothing fails without it
        }
        for name in names
    ]


def image_grid(visuals: Mapping[str, np.ndarray], columns: int, size: int) -> Image.Image:
    """The images in rows of `columns`, each fitted into size x size pixels, with its name below."""
    columns = min(columns, len(visuals))
    rows = -(-len(visuals) // columns)
    grid = Image.new("RGB", (columns * size, rows * (size + CAPTION_HEIGHT)), "white")
    draw = ImageDraw.Draw(grid)
    for index, (name, image) in enumerate(visuals.items()):
        left, top = index % columns * size, index // columns * (size + CAPTION_HEIGHT)
        grid.paste(ImageOps.pad(Image.fromarray(image), (size, size), color="white"), (left, top))
        draw.text((left + size // 2, top + size + CAPTION_HEIGHT // 2), name, "black", anchor="mm", font_size=14)
    return grid


def as_data_url(image: Image.Image) -> str:
    """The image as a data URL with a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
