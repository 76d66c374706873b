"""A headless Chromium for tests, told what to do over its debugging port."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if PROGRAM is None:
    pytest.skip("Chromium is not installed", allow_module_level=True)
websocket = pytest.importorskip("websocket", reason="websocket-client, which visdom needs as well, is not installed")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
]
# Chromium's own emulation of a graphics card, or none.
WEBGPU, NO_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"], ["--disable-gpu"]
# Error of Chromium when a page closed before it answered.
RELOADED = ("Inspected target navigated or closed", "Execution context was destroyed.", "Promise was collected")


class Chromium:
    """A browser with one page, told what to do over its debugging port."""

    def __init__(self, profile: Path, webgpu: bool = False) -> None:
        command = [str(PROGRAM), *FLAGS, *(WEBGPU if webgpu else NO_GPU), f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = profile / "DevToolsActivePort"
        wait_for(lambda: port_file.exists() and port_file.read_text().count("\n"), self.process)
        port = port_file.read_text().split()[0]
        with urlopen(f"http://127.0.0.1:{port}/json") as answer:
            target = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket = websocket.create_connection(target["webSocketDebuggerUrl"], timeout=60)
        self.calls = 0
        self.events: list[dict[str, Any]] = []
        """What the page reported of the domains that were enabled, such as Network.enable."""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.calls += 1
        self.socket.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if "id" not in answer:
                self.events.append(answer)
            if answer.get("id") == self.calls:
                if answer.get("error", {}).get("message") in RELOADED:
                    raise InterruptedError
                assert "error" not in answer, answer
                return dict(answer["result"])

    def run(self, script: str) -> Any:
        """The value of an expression on the page once it has loaded; asked again where a reload comes between."""
        loaded = "new Promise((go) => document.readyState === 'complete' ? go() : addEventListener('load', go))"
        request = {"expression": f"{loaded}.then(() => ({script}))", "returnByValue": True, "awaitPromise": True}

        def ask() -> dict[str, Any] | None:
            with suppress(InterruptedError):
                return self.call("Runtime.evaluate", **request)
            return None

        answer = wait_for(ask, self.process)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(
        self, page: Path | str, width: int = 1280, height: int = 900, density: int = 1, dark: bool = False
    ) -> None:
        """Open a file or an address in a window of this size; widths below 500 are those of phones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=density,
            mobile=width < 500,
        )
        url = page.as_uri() if isinstance(page, Path) else page
        self.call("Page.navigate", url=url)
        self.until(f"location.href === {json.dumps(url)}")

    def until(self, condition: str, seconds: float = 60) -> None:
        wait_for(lambda: self.run(f"Boolean({condition})"), self.process, seconds)

    def press(self, key: str) -> None:
        codes = {"Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def close(self) -> None:
        self.call("Browser.close")
        self.socket.close()
        self.process.wait(timeout=30)


def wait_for(condition: Any, process: subprocess.Popen[bytes], seconds: float = 60) -> Any:
    """What the condition gives once that is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert process.poll() is None, "Chromium has ended"
        assert time.monotonic() < end, "this did not come true in time"
        time.sleep(0.05)
    return value
