"""Loss curves and current images on a visdom server, sent so that training cannot feel the server.

The training thread only leaves its news here. A background thread sends the whole curve and the latest
images, and tries again until the server has them, so that a server that was away misses nothing.

The server's HTTP interface is spoken directly. visdom's own client has no time-out on answers, takes an HTTP
error for success, and imports numerical libraries; doing that in a thread while the data loader forks its
workers may hang them.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from util.errors import UserError
from util.monitors.base import loss_values, print_line

CURVE_POINTS = 1000  # a longer curve is thinned to this many, so that sending it stays cheap however long a run is
CURVE_LAYOUT = {
    "xaxis": {"title": {"text": "images seen", "standoff": 4}},
    "yaxis": {"title": {"text": "loss"}},
    "showlegend": True,
    "legend": {"orientation": "h", "y": -0.25},
    "margin": {"l": 60, "r": 20, "t": 30, "b": 60},
}
CAPTION_HEIGHT = 20  # pixels, of an image's name
TITLE_HEIGHT = 20  # pixels that a window on the page needs besides its image
CLOSE_SECONDS = 3.0  # how long the end of a run may wait for the server


class VisdomServer:
    """Sends windows to one environment of a visdom server."""

    def __init__(self, server: str, port: int, env: str, timeout_seconds: float = 10.0) -> None:
        """`server` as in --display_server; without a scheme it is taken as http. Raises UserError if it is no URL."""
        self.url = f"{server if '://' in server else f'http://{server}'}".rstrip("/") + f":{port}"
        self.port = port
        self._env = env
        self._timeout_seconds = timeout_seconds
        try:
            local = urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")
        except ValueError as error:
            raise UserError(f"--display_server {server}: {error}; give it as in http://localhost") from error
        # A proxy cannot reach this machine's own loopback.
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))

    def send(self, window: int, content: list[dict[str, Any]], opts: dict[str, Any], **rest: Any) -> None:
        """Make or replace a window. Raises OSError, HTTPException or ValueError if it was not taken."""
        message = {"win": str(window), "eid": self._env, "data": content, "opts": opts, **rest}
        request = urllib.request.Request(
            f"{self.url}/events", json.dumps(message).encode(), {"Content-Type": "application/json"}
        )
        with self._opener.open(request, timeout=self._timeout_seconds) as response:
            response.read()


class Pictures(NamedTuple):
    """The images of one moment of a run."""

    visuals: Mapping[str, np.ndarray]
    epoch: int
    images: int


class VisdomMonitor:
    """A Monitor (see util.monitors.base): curves in window `window`, images in the next one or ones."""

    def __init__(
        self,
        server: VisdomServer,
        name: str,
        history: Iterable[Mapping[str, float]] = (),
        *,
        window: int = 1,
        columns: int = 4,
        image_size: int = 256,
        say: Callable[[str], None] = print_line,
        retry_seconds: float = 10.0,
        pause_seconds: float = 2.0,
    ) -> None:
        """`history`: earlier lines of losses.jsonl, to begin the curves with.

        `columns`: images in a row of the grid; 0 gives each image its own window. `image_size`: pixels.
        The thread rests `pause_seconds` after sending and `retry_seconds` after a failure.
        """
        self._server, self._name, self._say = server, name, say
        self._window, self._columns, self._image_size = window, columns, image_size
        self._retry_seconds, self._pause_seconds = retry_seconds, pause_seconds
        self._records = [dict(record) for record in history]
        self._pictures: Pictures | None = None
        self._pictures_sent: Pictures | None = None
        self._told = False
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

    def show_images(self, visuals: Mapping[str, np.ndarray], epoch: int, images: int) -> None:
        with self._lock:
            self._pictures = Pictures(dict(visuals), epoch, images)
        self._news.set()

    def close(self) -> None:
        self._closing.set()
        self._news.set()
        self._thread.join(CLOSE_SECONDS)
        self._told = True  # there's nothing to mend any more

    def _run(self) -> None:
        last = False
        while not last:
            self._news.wait()
            last = self._closing.is_set()
            self._closing.wait(self._pause_seconds if self._send() else self._retry_seconds)

    def _send(self) -> bool:
        """Send the curves, and the images if the server hasn't them; False if that failed."""
        self._news.clear()
        with self._lock:
            records, pictures = thin(self._records), self._pictures
        try:
            if records:
                self._send_curves(records)
            if pictures is not self._pictures_sent and pictures is not None:
                self._send_pictures(pictures)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._pictures_sent = None  # a server that comes back has forgotten them
            self._news.set()
            self._tell(error)
            return False
        self._pictures_sent = pictures
        return True

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            reason = error.reason if type(error) is urllib.error.URLError else error
            self._say(
                f"visdom: {self._server.url} does not take the curves ({reason}); training goes on, and they "
                "follow when it does: start a server with "
                f"`python scripts/visdom_server.py --port {self._server.port}`, or train with --display_id 0"
            )

    def _send_curves(self, records: Sequence[Mapping[str, float]]) -> None:
        # Without a size of its own here, the window keeps the one that its user gave it on the page.
        opts = {"title": f"{self._name}: losses"}
        self._server.send(self._window, traces(records), opts, layout=CURVE_LAYOUT)

    def _send_pictures(self, pictures: Pictures) -> None:
        moment = f"epoch {pictures.epoch}, {pictures.images} images seen"
        panels = {self._name: pictures.visuals}
        if self._columns <= 0:
            panels = {name: {name: visual} for name, visual in pictures.visuals.items()}
        for window, (title, visuals) in enumerate(panels.items(), self._window + 1):
            grid = image_grid(visuals, max(self._columns, 1), self._image_size)
            content = {"type": "image", "content": {"src": as_data_url(grid)}}
            opts = {"title": f"{title}: {moment}", "width": grid.width, "height": grid.height + TITLE_HEIGHT}
            self._server.send(window, [content], opts)


def thin(records: Sequence[Mapping[str, float]], points: int = CURVE_POINTS) -> list[Mapping[str, float]]:
    """At most `points` of the records, evenly spaced, the first and the last among them."""
    if len(records) <= points:
        return list(records)
    return [records[place * (len(records) - 1) // (points - 1)] for place in range(points)]


def traces(records: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """One plotly line a loss over the images seen; a gap where a record lacks the loss or it isn't finite."""
    places = [record["images"] for record in records]
    values = [loss_values(record) for record in records]
    names = dict.fromkeys(name for losses in values for name in losses)
    return [
        {
            "type": "scatter",
            # A line of a single point would be invisible.
            "mode": "lines" if len(records) > 1 else "markers",
            "name": name,
            "x": places,
            "y": [losses.get(name) for losses in values],
            "marker": {"line": {}},  # the page's smoothing fails on lines without it
        }
        for name in names
    ]


def image_grid(visuals: Mapping[str, np.ndarray], columns: int, size: int) -> Image.Image:
    """The images in rows of `columns`, each fitted into size x size pixels, its name below it."""
    columns = min(columns, len(visuals))
    rows = -(-len(visuals) // columns)
    grid = Image.new("RGB", (columns * size, rows * (size + CAPTION_HEIGHT)), "white")
    draw = ImageDraw.Draw(grid)
    for place, (name, image) in enumerate(visuals.items()):
        left, top = place % columns * size, place // columns * (size + CAPTION_HEIGHT)
        grid.paste(ImageOps.pad(Image.fromarray(image), (size, size), color="white"), (left, top))
        draw.text((left + size // 2, top + size + CAPTION_HEIGHT // 2), name, "black", anchor="mm", font_size=14)
    return grid


def as_data_url(image: Image.Image) -> str:
    """The image as PNG inside a URL."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
