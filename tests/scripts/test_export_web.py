"""scripts/export.py --format web: the page in Chromium translates as Python does, also without a network.

The browser needs the npm package onnxruntime-web: in npm's cache, or unpacked in the folder of ONNXRUNTIME_WEB.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.formats import color_profile
from inference import load_generator
from scripts import export
from scripts.exporting.web_format import domains
from scripts.exporting.web_runtime import FILES, PACKAGE, VERSION, add_runtime
from tests.conftest import tile
from tests.integration.conftest import ROOT
from tests.scripts.exported_runs import save_gray_to_color, save_run, write_domains
from util.errors import UserError

pytest.importorskip("onnxscript", reason="pip install -r requirements-dev.txt")
pytestmark = pytest.mark.xdist_group("web_page")  # one export and one browser for all
TIMES = "\N{MULTIPLICATION SIGN}"


def run_export(*arguments: object) -> Path:
    return export.export(export.parse_arguments([str(argument) for argument in (*arguments, "--format", "web")]))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_domains(tmp_path_factory.mktemp("data") / "gray2color_tiles")


@pytest.fixture(scope="module")
def cycle(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gray_to_color(tmp_path_factory.mktemp("runs") / "checkpoints", tiles)


def fake_package(folder: Path, version: str = VERSION) -> Path:
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": PACKAGE, "version": version}))
    for name in FILES:
        (folder / "dist" / name).write_text(name)
    return folder


# Without a browser.


@pytest.fixture(scope="module")
def exported(cycle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder, with a runtime that is only names."""
    folder = tmp_path_factory.mktemp("exports")
    return run_export(cycle, "--runtime", fake_package(folder / "npm"), "--out", folder / "web")


def test_files_of_the_folder(exported: Path, cycle: Path, tiles: Path) -> None:
    folder = exported
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    examples = {f"examples/{direction}_{number}.png" for direction in ("AtoB", "BtoA") for number in (1, 2, 3)}
    runtime = {f"runtime/{name}" for name in ("wasm.js", "wasm.wasm", "webgpu.js", "webgpu.wasm", "LICENSE.txt")}
    scripts = {f"{name}.js" for name in ("page", "compare", "engine", "facts", "worker", "service-worker")}
    page = {"index.html", "page.css"} | scripts
    assert files == examples | runtime | page | {"AtoB.onnx", "BtoA.onnx", "config.json"}
    assert (folder / "runtime" / "webgpu.wasm").read_text() == "ort-wasm-simd-threaded.asyncify.wasm"
    for path in (folder / name for name in files):
        for private in (tiles.parent, cycle.parent, Path.home(), ROOT):
            assert str(private).encode() not in path.read_bytes(), path
    config = json.loads((folder / "config.json").read_text())
    facts = config["directions"]["BtoA"]
    assert facts["domains"] == ["color", "gray"] and facts["bytes"] == (folder / "BtoA.onnx").stat().st_size
    assert np.array_equal(Image.open(folder / facts["examples"][0]), Image.open(tiles / "testB" / "00.png"))


def test_names_of_domains() -> None:
    assert domains(["horse2zebra", "run"], "AtoB") == ["horse", "zebra"]
    assert domains(["maps", "summer2winter_yosemite"], "BtoA") == ["winter", "summer"]
    assert domains(["maps", "pix2pix_maps"], "BtoA") == ["B", "A"]


def test_mistakes_are_explained(cycle: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = fake_package(tmp_path / "npm")
    old, partial = fake_package(tmp_path / "old", "1.20.0"), fake_package(tmp_path / "partial")
    (partial / "dist" / "ort.wasm.bundle.min.mjs").unlink()
    out = ["--out", tmp_path / "out"]
    with pytest.raises(UserError, match="--runtime has no effect on --format onnx"):
        export.export(export.parse_arguments([str(cycle), "--runtime", str(runtime)]))
    for folder, message in [
        (tmp_path, "holds no package.json: unpack version .* npm pack onnxruntime-web@.* --runtime package$"),
        (old, "holds onnxruntime-web 1.20.0: unpack"),
        (partial, r"lacks dist/ort\.wasm\.bundle\.min\.mjs: unpack"),
    ]:
        with pytest.raises(UserError, match=message):
            run_export(cycle, *out, "--runtime", folder)
    spectral = save_run(tmp_path, "spectral", tiles, "--output_nc", "4", "--lambda_identity", "0")
    labels = save_run(tmp_path, "labels", tiles, "--model", "pix2pix", "--netG", "resnet_6blocks", "--label_nc", "3")
    for arguments, message in [
        ([spectral, "--direction", "AtoB"], "the output of AtoB has 4"),
        ([labels], "takes class ids"),
        ([cycle, "--bits", "16"], "have 16: add --bits 8"),
    ]:
        with pytest.raises(UserError, match=message):
            run_export(*arguments, *out, "--runtime", runtime)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"npm is not installed: run on a machine with npm: npm pack .* --runtime"):
        run_export(cycle, *out)
    assert not (tmp_path / "out").exists()


def test_npm_that_fails_and_npm_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = fake_package(tmp_path / "package")
    with tarfile.open(tmp_path / "archive", "w:gz") as archive:
        archive.add(package, "package")
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match=r"npm pack onnxruntime-web@.* has failed: is there a network\? If not, run on"):
        add_runtime(tmp_path / "a", None)
    program.write_text(f'#!/bin/sh\n[ "$2" = {PACKAGE}@{VERSION} ] && cp {tmp_path}/archive "$6/x.tgz"\n')
    (tmp_path / "b").mkdir()
    add_runtime(tmp_path / "b", None)
    assert {path.name for path in (tmp_path / "b" / "runtime").iterdir()} == {*FILES.values(), "LICENSE.txt"}


# In Chromium.


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real package."""
    if given := os.environ.get("ONNXRUNTIME_WEB"):
        return Path(given)
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("npm")
    if npm is None:
        pytest.skip("needs npm, or ONNXRUNTIME_WEB=FOLDER")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--offline", "--silent"]
    if subprocess.run(command, cwd=folder, capture_output=True).returncode:
        pytest.skip(f"npm's cache has no {PACKAGE}: npm cache add {PACKAGE}@{VERSION}, or ONNXRUNTIME_WEB=FOLDER")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Server:
    """A plain static server of a folder on loopback."""

    def __init__(self, folder: Path) -> None:
        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Page:
    """The exported page in a browser."""

    def __init__(self, browser: Any, folder: Path, engine: str) -> None:
        self.browser, self.engine, self.server = browser, engine, Server(folder)
        for domain in ("Network", "Runtime", "DOM"):
            browser.call(f"{domain}.enable")
        self.load()

    def load(self, width: int = 1280) -> None:
        self.browser.open(f"{self.server.url}?engine={self.engine}", width=width)
        self.browser.until("document.getElementById('status').textContent === 'Ready'")

    def choose(self, file: Path) -> None:
        """Choose a file as a user does, and wait for a translation or a notice."""
        self.browser.run("document.getElementById('stage').dataset.state = ''")
        root = self.browser.call("DOM.getDocument")["root"]["nodeId"]
        node = self.browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.browser.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def wait(self, state: str) -> None:
        self.browser.until(f"document.getElementById('stage').dataset.state === '{state}'")

    def text(self, name: str) -> str:
        return str(self.browser.run(f"document.getElementById('{name}').textContent"))

    def translate(self, file: Path) -> np.ndarray:
        """The pixels (H, W, 3) of the page's translation."""
        self.choose(file)
        self.wait("done")
        return self.shown()

    def shown(self) -> np.ndarray:
        width, height, text = self.browser.run(
            """(() => {
              const canvas = document.getElementById("after"), { width, height } = canvas;
              const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
              return [width, height, btoa(Array.from(data, (value) => String.fromCharCode(value)).join(""))];
            })()"""
        )
        pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
        assert (pixels[:, :, 3] == 255).all()
        return pixels[:, :, :3]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from tests.chromium import Chromium

    found = Chromium(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def served(exported: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder with the real runtime. One example was deleted by its owner."""
    folder = tmp_path_factory.mktemp("served") / "web"
    shutil.copytree(exported, folder, ignore=shutil.ignore_patterns("runtime"))
    add_runtime(folder, runtime)
    (folder / "examples" / "AtoB_3.png").unlink()
    return folder


@pytest.fixture(scope="module")
def page(browser: Any, served: Path) -> Page:
    return Page(browser, served, "wasm")


def difference(found: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """The largest difference in levels, and the share of values that differ."""
    expected = expected[:, :, None] if expected.ndim == 2 else expected
    distance = np.abs(found.astype(int) - expected.astype(int))
    assert expected.std() > 10
    return int(distance.max()), float((distance > 0).mean())


@pytest.mark.parametrize("size", [(64, 64), (97, 61), (33, 130)])
def test_pixels_equal_those_of_python(page: Page, cycle: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    tile(7, *size).save(tmp_path / "in.png")
    for direction in ("BtoA", "AtoB"):
        page.browser.run(f"document.querySelectorAll('[name=direction]')[{int(direction == 'BtoA')}].click()")
        found = page.translate(tmp_path / "in.png")
        worst, share = difference(found, np.asarray(load_generator(cycle, direction)(tmp_path / "in.png")))
        assert worst <= 1 and share < 0.01, direction
    assert page.text("status").startswith(f"{size[0]} {TIMES} {size[1]} pixels, ")


def test_orientation_profiles_and_transparency(page: Page, cycle: Path, tmp_path: Path) -> None:
    translate = load_generator(cycle, "AtoB")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    tile(3, 80, 48).save(tmp_path / "turned.jpg", exif=exif)
    found = page.translate(tmp_path / "turned.jpg")
    assert found.shape == (80, 48, 3) and difference(found, np.asarray(translate(tmp_path / "turned.jpg")))[0] <= 2
    wide = color_profile.from_gamma(1 / 2.2, (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))  # Adobe RGB
    tile(3, 80, 48).save(tmp_path / "wide.png", icc_profile=wide)
    expected = np.asarray(translate(tmp_path / "wide.png"))
    assert difference(page.translate(tmp_path / "wide.png"), expected)[0] <= 1  # ignored, as in training
    transparent = tile(4, 60, 40)
    transparent.putalpha(Image.fromarray(np.linspace(0, 255, 60 * 40).reshape(40, 60).astype(np.uint8)))
    transparent.save(tmp_path / "veil.png")
    found, expected = page.translate(tmp_path / "veil.png"), np.asarray(translate(tmp_path / "veil.png"))
    assert np.abs(found.astype(int) - expected).mean() < 1  # compositing rounds differently


def test_large_and_unreadable_images(page: Page, tmp_path: Path) -> None:
    tile(5, 1536, 12).save(tmp_path / "large.png")
    page.choose(tmp_path / "large.png")
    page.wait("notice")
    assert page.text("notice").startswith(f"This image has 1536 {TIMES} 12 pixels. This page translates images of")
    assert page.text("shrink") == f"Shrink it to 1024 {TIMES} 8 and translate"
    page.browser.run("document.getElementById('shrink').click()")
    page.wait("done")
    assert page.shown().shape == (8, 1024, 3)
    (tmp_path / "text.png").write_text("text")
    page.choose(tmp_path / "text.png")
    page.wait("notice")
    assert page.text("notice") == "text.png can't be read as an image. Choose a PNG, JPEG or WebP file."
    assert page.browser.run("document.getElementById('shrink').hidden")


def test_cancel_and_choose_again(page: Page, tmp_path: Path) -> None:
    tile(5, 900, 900).save(tmp_path / "large.png")
    tile(6, 40, 30).save(tmp_path / "small.png")
    page.choose(tmp_path / "large.png")
    page.wait("work")
    page.browser.run("document.getElementById('cancel').click()")
    page.wait("empty")
    page.choose(tmp_path / "large.png")
    page.wait("work")
    assert page.translate(tmp_path / "small.png").shape == (30, 40, 3)  # another image takes its place


def test_pasted_and_dropped_files(page: Page, tmp_path: Path) -> None:
    tile(1, 48, 32).save(tmp_path / "in.png")
    expected = page.translate(tmp_path / "in.png")
    content = base64.b64encode((tmp_path / "in.png").read_bytes()).decode()
    for event in (
        "new ClipboardEvent('paste', { clipboardData: data })",
        "new DragEvent('drop', { dataTransfer: data })",
    ):
        page.browser.run(
            f"""(() => {{
              document.getElementById("stage").dataset.state = "";
              document.getElementById("after").width = 1;
              const bytes = Uint8Array.from(atob("{content}"), (one) => one.charCodeAt(0)), data = new DataTransfer();
              data.items.add(new File([bytes], "in.png", {{ type: "image/png" }}));
              dispatchEvent({event});
            }})()"""
        )
        page.wait("done")
        assert np.array_equal(page.shown(), expected)


def test_slider_examples_and_download(page: Page, tmp_path: Path) -> None:
    page.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.browser.run("document.getElementById('stage').dataset.state = ''")
    page.browser.until("document.querySelectorAll('#examples button').length === 2")
    page.browser.run("document.querySelector('#examples button').click()")
    page.wait("done")
    page.browser.run("document.getElementById('slider').focus()")
    boundary = "[slider.value, document.getElementById('compare').style.getPropertyValue('--at')]"
    assert page.browser.run(boundary) == ["50", "50%"]
    page.browser.press("ArrowRight")
    assert page.browser.run(boundary) == ["52", "52%"]
    page.browser.run("document.getElementById('download').click()")
    file = tmp_path / "AtoB_1_color.png"
    for _ in range(600):  # under another name until it is complete
        if file.is_file():
            break
        time.sleep(0.1)
    assert np.array_equal(np.asarray(Image.open(file).convert("RGB")), page.shown())


def test_a_phone_and_requests(page: Page, tmp_path: Path) -> None:
    page.load(width=400)
    tile(5, 300, 200).save(tmp_path / "in.png")
    page.translate(tmp_path / "in.png")
    assert page.browser.run("document.documentElement.scrollWidth <= innerWidth")
    requests = [event["params"] for event in page.browser.events if event["method"] == "Network.requestWillBeSent"]
    urls = {request["request"]["url"] for request in requests}
    assert len(urls) > 5 and all(url.startswith((page.server.url, "data:", "blob:http://127.0.0.1")) for url in urls)
    assert not [event for event in page.browser.events if event["method"] == "Runtime.exceptionThrown"]
    is_labeled = "one.ariaLabel || one.labels?.length || one.textContent.trim() || one.querySelector('[alt]')"
    visible = "[...document.querySelectorAll('button, input')].filter((one) => one.checkVisibility())"
    assert page.browser.run(f"{visible}.every((one) => {is_labeled})") and page.browser.run(f"{visible}.length") > 6


def test_offline(page: Page, cycle: Path, tmp_path: Path) -> None:
    """The last test of `page`, since it ends the server."""
    page.browser.until("document.getElementById('facts').textContent.includes('kept all files')")
    page.server.close()
    page.browser.call("Network.setCacheDisabled", cacheDisabled=True)  # the one of HTTP
    assert page.browser.run("fetch('config.json?1').then(() => 'found', () => 'no network')") == "no network"
    page.load()
    tile(8, 50, 40).save(tmp_path / "in.png")
    for direction in ("BtoA", "AtoB"):
        page.browser.run(f"document.querySelectorAll('[name=direction]')[{int(direction == 'BtoA')}].click()")
        expected = np.asarray(load_generator(cycle, direction)(tmp_path / "in.png"))
        assert difference(page.translate(tmp_path / "in.png"), expected)[0] <= 1
    page.browser.until("document.querySelectorAll('#examples button').length === 2")
    assert page.browser.run("[...document.querySelectorAll('#examples img')].every((one) => one.naturalWidth === 40)")


def test_webgpu(served: Path, cycle: Path, tmp_path: Path) -> None:
    """On a graphics card that Chromium emulates."""
    from tests.chromium import Chromium

    browser = Chromium(tmp_path / "profile", webgpu=True)
    try:
        page = Page(browser, served, "webgpu")
        if not browser.run("navigator.gpu?.requestAdapter().then(Boolean)"):
            pytest.skip("this Chromium does not emulate WebGPU")
        tile(2, 50, 37).save(tmp_path / "in.png")
        expected = np.asarray(load_generator(cycle, "AtoB")(tmp_path / "in.png"))
        assert difference(page.translate(tmp_path / "in.png"), expected)[0] <= 1
        assert page.text("status").endswith("WebGPU")
    finally:
        browser.close()


# A runtime that inverts gray images. Its graphics card differs by ERROR levels, and has no memory for 300 pixels.
FAKE = """
export const env = { wasm: {} };
export class Tensor {
  constructor(type, data, dims) { Object.assign(this, { data, dims }); }
}
export const InferenceSession = {
  create: async (model, { executionProviders: [provider] }) => ({
    run: async ({ image: { data, dims: [, height, width] } }) => {
      if (width > (provider === "webgpu" ? 300 : 800)) throw new Error("no memory");
      const error = provider === "webgpu" ? ERROR : 0;
      const inverted = Uint8Array.from({ length: 3 * height * width }, (_, i) => 255 - data[Math.floor(i / 3)] - error);
      return { translation: { getData: async () => inverted, dispose() {} } };
    },
  }),
};
"""


@pytest.mark.parametrize(("error", "engine"), [(1, "WebGPU"), (2, "WebAssembly")])
def test_webgpu_is_used_only_while_it_agrees(
    browser: Any, exported: Path, tmp_path: Path, error: int, engine: str
) -> None:
    shutil.copytree(exported, tmp_path / "web")
    (tmp_path / "web" / "runtime" / "webgpu.js").write_text(FAKE.replace("ERROR", str(error)))
    adapter = "Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: async () => ({}) } })"
    browser.call("Page.enable")
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=adapter)
    page = Page(browser, tmp_path / "web", "")
    for width, used in [(40, engine), (400, "WebAssembly"), (900, ""), (41, engine)]:
        picture = tile(width, width, 8).convert("L").point(lambda value: min(value, 250))
        picture.save(tmp_path / "in.png")
        page.choose(tmp_path / "in.png")
        page.wait("done" if used else "notice")
        if used:
            assert page.text("status").endswith(used)
            expected = 255 - np.asarray(picture)[:, :, None].repeat(3, axis=2)
            assert np.array_equal(page.shown(), expected - (error if used == "WebGPU" else 0))
        else:
            assert page.text("notice").startswith("This image can't be translated here: no memory. The browser may")
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])
