"""Join pairs of images side by side, as --dataset_mode aligned reads them, or split such images.

    python scripts/pairs.py join --A photos --B maps --out datasets/maps/train      # same names in both folders
    python scripts/pairs.py split --AB datasets/maps/train --A photos --B maps

Joining is optional: `aligned` also reads two folders, such as trainA and trainB. Images are written as 8-bit RGB PNG.
Maps of class ids (for --label_nc) must therefore stay in their own folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from data.formats.image_reader import UnreadableImage, read_image
from data.image_folder import match_names
from util.errors import UserError, run_main
from util.files import renamed_when_complete


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    join = commands.add_parser("join", help="join two folders into one folder of images side by side")
    join.add_argument("--A", type=Path, required=True, help="folder of the left halves")
    join.add_argument("--B", type=Path, required=True, help="folder of the right halves, with the same names")
    join.add_argument("--out", type=Path, required=True, help="output folder; must be empty or not exist")
    split = commands.add_parser("split", help="split one folder of images side by side into two folders")
    split.add_argument("--AB", type=Path, required=True, help="folder of images with A and B side by side")
    split.add_argument("--A", type=Path, required=True, help="output folder of the left halves")
    split.add_argument("--B", type=Path, required=True, help="output folder of the right halves")
    return parser.parse_args()


def check_folders(sources: dict[str, Path], targets: dict[str, Path]) -> None:
    """Raise UserError if a source is not a folder, or if a target is not empty."""
    for flag, folder in sources.items():
        if not folder.is_dir():
            raise UserError(f"{flag} {folder} is not a folder: expected a folder of images")
    for flag, folder in targets.items():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{flag} {folder} is not empty: remove it or choose another folder")
        others = [other for other in (*sources.values(), *targets.values()) if other is not folder]
        if folder.resolve() in [other.resolve() for other in others]:
            raise UserError(f"{flag} {folder} is given twice: choose another folder")


def read(path: Path) -> np.ndarray:
    """The image, uint8 (H, W, 3). Raises UserError if it cannot be read."""
    try:
        image = read_image(path, 3)
    except UnreadableImage as error:
        raise UserError(f"{error}: restore it or remove it") from error
    return image.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()


def write(image: np.ndarray, folder: Path, name: Path) -> None:
    """Save an image in a folder, as PNG under the same name."""
    path = folder / name.with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def join(folder_A: Path, folder_B: Path, out: Path) -> None:
    """Write each pair of equal names into one image. Raises UserError if the two images differ in size."""
    check_folders({"--A": folder_A, "--B": folder_B}, {"--out": out})
    pairs, unpaired = match_names([folder_A, folder_B])
    with renamed_when_complete(out) as (temporary,):
        for path_A, path_B in pairs:
            A, B = read(path_A), read(path_B)
            if A.shape != B.shape:
                sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (A, B)]
                raise UserError(
                    f"{path_B} has {sizes[1]} pixels, but its partner {path_A} has {sizes[0]}: resize one of them"
                )
            write(np.hstack([A, B]), temporary, path_A.relative_to(folder_A))
    skipped = f", {len(unpaired)} without a partner skipped, such as {unpaired[0]}" if unpaired else ""
    print(f"{out}: {len(pairs)} pairs{skipped}")


def split(folder: Path, out_A: Path, out_B: Path) -> None:
    """Write the halves of each image. Raises UserError if a width is odd, or if two images have the same name."""
    check_folders({"--AB": folder}, {"--A": out_A, "--B": out_B})
    paths, _ = match_names([folder])
    with renamed_when_complete(out_A, out_B) as (temporary_A, temporary_B):
        for (path,) in paths:
            both = read(path)
            width = both.shape[1]
            if width % 2:
                raise UserError(f"{path} is {width} pixels wide: A and B side by side need an even width")
            for half, out in ((both[:, : width // 2], temporary_A), (both[:, width // 2 :], temporary_B)):
                write(np.ascontiguousarray(half), out, path.relative_to(folder))
    print(f"{out_A} and {out_B}: {len(paths)} pairs")


def main() -> None:
    arguments = parse_arguments()
    if arguments.command == "join":
        join(arguments.A, arguments.B, arguments.out)
    else:
        split(arguments.AB, arguments.A, arguments.B)


if __name__ == "__main__":
    run_main(main)
