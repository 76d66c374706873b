"""--format web: a folder for any static web server, with a page that translates images in the browser."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from scripts.exporting import onnx_format
from scripts.exporting.job import Direction, Format
from scripts.exporting.web_runtime import PACKAGE, VERSION, add_runtime
from util.errors import UserError

PAGE = Path(__file__).parent / "standalone" / "web"
MAX_SIDE = 1024  # pixels: see docs/deployment.md for the memory and the time that a browser needs
MAX_EXAMPLES = 4  # images of the run to try, for each direction


def write(folder: Path, directions: Sequence[Direction], config: dict[str, Any]) -> None:
    for direction in directions:
        require_pictures(direction)
    onnx_format.write(folder, directions, config)
    for direction in directions:
        content = (folder / f"{direction.name}.onnx").read_bytes()
        # The page requests files by their hash, so that browsers notice a new export.
        config["directions"][direction.name] |= {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "domains": domains([config["dataset"]["name"], config["name"]], direction.name),
            "examples": write_examples(folder, direction),
        }
    sizes = {path.stem: path.stat().st_size for path in (folder / "runtime").glob("*.wasm")}
    config["web"] = {
        "max_side": MAX_SIDE,
        "color_profiles": getattr(directions[0].source.opt, "icc", "ignore"),
        "runtime": {"name": PACKAGE, "version": VERSION, "license": "MIT", "bytes": sizes},
    }
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    if (folder / "examples").is_dir():
        print("note: examples/ holds images of the run, to be tried on the page: delete them if they are not public")


def require_pictures(direction: Direction) -> None:
    """Raise UserError if a browser can't read or show the images of a direction."""
    facts = direction.describe()
    if facts["input"]["class_ids"]:
        raise UserError("--format web translates pictures, but this network takes class ids: use --format hub")
    if direction.bits != 8:
        raise UserError("--format web has pictures of 8 bits, but the images of this run have 16: add --bits 8")
    for side in ("input", "output"):
        if facts[side]["channels"] not in (1, 3):
            raise UserError(
                f"--format web has pictures of 1 or 3 channels, but the {side} of {direction.name} has "
                f"{facts[side]['channels']}: use --format hub"
            )


def domains(names: Sequence[str], direction: str) -> list[str]:
    """The names of the input's and the output's domain: horse and zebra, if a name begins with horse2zebra."""
    matches = [re.fullmatch(r"([A-Za-z]+)2([A-Za-z]+)([_\-.].*)?", name) for name in names]
    found = [[match[1], match[2]] for match in matches if match and match[1] != match[2]]  # not pix2pix
    a, b = found[0] if found else ["A", "B"]
    return [a, b] if direction == "AtoB" else [b, a]


def write_examples(folder: Path, direction: Direction) -> list[str]:
    """Images of the run to try; returns their paths relative to the exported folder."""
    paths = []
    for number, image in enumerate(direction.trial.images.examples[:MAX_EXAMPLES], start=1):
        path = folder / "examples" / f"{direction.name}_{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[0, :, :, 0] if image.shape[-1] == 1 else image[0]).save(path)
        paths.append(path.relative_to(folder).as_posix())
    return paths


WEB = Format("web", ("onnx", "onnxruntime", "onnxscript"), write, add_runtime, "python -m http.server --directory")
