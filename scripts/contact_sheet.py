"""Write one image that shows the same test images in several galleries, to compare models by eye.

    python scripts/contact_sheet.py results/small/test_latest results/large/test_latest --out sheet.png
    python scripts/contact_sheet.py results/small/test_latest --visual fake_A --count 24 --out back.png

The first row shows sources, each further one their translations in one gallery, and the last one the ground truth, if
the first gallery has it. The columns are images at equal distances in the order of names, not a selection of the best.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from scripts.evaluation.folders import list_named
from scripts.pairs import read
from util.errors import UserError, run_main

GAP = 4  # pixels between images


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "galleries", nargs="+", type=Path, help="galleries of test.py, such as results/NAME/test_latest"
    )
    parser.add_argument("--out", type=Path, required=True, help="the image to write, such as sheet.png")
    parser.add_argument("--visual", choices=("fake_A", "fake_B", "fake"), default="fake_B", help="the translation")
    parser.add_argument("--count", type=int, default=12, help="number of columns")
    parser.add_argument("--width", type=int, default=96, help="width and height of an image on the sheet, in pixels")
    arguments = parser.parse_args()
    for name in ("count", "width"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name} {getattr(arguments, name)}: must be at least 1")
    for gallery in arguments.galleries:
        if not (gallery / "images").is_dir():
            raise UserError(f"{gallery} is not a gallery: expected a folder that contains the folder images")
    if arguments.out.suffix.lower() not in Image.registered_extensions():
        raise UserError(f"--out {arguments.out}: expected the name of an image, such as sheet.png")
    return arguments


def evenly_spaced(names: Sequence[str], count: int) -> list[str]:
    """At most `count` names at equal distances, the first among them."""
    count = min(count, len(names))
    return [names[i * len(names) // count] for i in range(count)]


def rows(galleries: Sequence[Path], visual: str, count: int) -> Iterator[tuple[str, list[Path]]]:
    """What each row shows, and its images. Raises UserError if the galleries have no image in common."""
    found = [list_named(gallery / "images", str(gallery), visual) for gallery in galleries]
    names = sorted(set.intersection(*(set(images) for images in found)))
    if not names:
        raise UserError(f"{' and '.join(map(str, galleries))} have no image in common: test them on the same images")
    chosen = evenly_spaced(names, count)
    first = [found[0][name] for name in chosen]
    source = {"fake_A": "real_B", "fake_B": "real_A", "fake": "real"}[visual]
    yield source, [_beside(path, visual, source) for path in first]
    for gallery, images in zip(galleries, found, strict=True):
        yield f"{visual} of {gallery}", [images[name] for name in chosen]
    truth = visual.replace("fake", "truth")
    if all(_beside(path, visual, truth).is_file() for path in first):
        yield truth, [_beside(path, visual, truth) for path in first]


def _beside(translation: Path, visual: str, other: str) -> Path:
    """Another visual of the same source file."""
    return translation.with_name(f"{translation.stem.removesuffix(visual)}{other}{translation.suffix}")


def draw(images: Sequence[Sequence[Path]], width: int) -> Image.Image:
    """The images in a grid on white, each as large as a square of `width` pixels allows."""
    step = width + GAP
    sheet = Image.new("RGB", (len(images[0]) * step + GAP, len(images) * step + GAP), "white")
    for row, paths in enumerate(images):
        for column, path in enumerate(paths):
            image = ImageOps.contain(Image.fromarray(read(path)), (width, width), Image.Resampling.LANCZOS)
            sheet.paste(image, (GAP + column * step, GAP + row * step))
    return sheet


def main() -> None:
    arguments = parse_arguments()
    shown = list(rows(arguments.galleries, arguments.visual, arguments.count))
    sheet = draw([paths for _, paths in shown], arguments.width)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(arguments.out)
    print(f"{arguments.out}: {len(shown[0][1])} columns; rows: {', '.join(title for title, _ in shown)}")


if __name__ == "__main__":
    run_main(main)
