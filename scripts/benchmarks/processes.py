"""Compares two processes on one machine with one process, all started with the commands of a user.

By default, torchrun gives each process one thread. So two processes are compared with one process that has all threads,
which a user would start otherwise, and with one that has one thread, which shows the cost of exchanging gradients and
of sharing the memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from scripts.benchmarks.workers import ROOT, Figures, Plan, name_of
from util.errors import UserError

STEPS, FIRST = 8, 2  # steps of a run; steps before the measurement starts


def measure_processes(plan: Plan) -> Figures:
    """Images per second of train.py, from its log, with a total batch of 2.

    Columns: "one": one process; "one thread": one process with one thread; "two": two processes; "ratio" is two / one,
    "scaling" is two / one thread.
    """
    size = min(plan.sizes)
    commands: dict[str, dict[str, int]] = {"one": {}, "one thread": {"threads": 1}, "two": {"processes": 2}}
    images: dict[str, list[float]] = {name: [] for name in commands}
    with TemporaryDirectory() as folder:
        write_noise(Path(folder), size, 2 * STEPS)
        for _ in range(plan.repeats):
            for name, numbers in commands.items():
                images[name].append(train(Path(folder), size, plan, **numbers))
    rates = {name: median(values) for name, values in images.items()}
    ratios = {"ratio": rates["two"] / rates["one"], "scaling": rates["two"] / rates["one thread"]}
    return {name_of(size, 2): rates | ratios}


def write_noise(root: Path, size: int, count: int) -> None:
    """Write images of random noise to trainA and trainB."""
    random = np.random.default_rng(0)
    for domain in "AB":
        (root / f"train{domain}").mkdir()
        for number in range(count):
            noise = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / f"train{domain}" / f"{number}.png")


def train(root: Path, size: int, plan: Plan, *, processes: int = 1, threads: int | None = None) -> float:
    """Train for an epoch, two images per step in total. Returns images per second, without the first steps.

    `threads`: those of each process; if None, as many as torch or torchrun chooses.
    """
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"] if processes > 1 else []
    flags = ["--dataroot", str(root), "--checkpoints_dir", str(root), "--name", "run", "--overwrite", "--seed", "1"]
    flags += ["--n_epochs", "1", "--n_epochs_decay", "0", "--batch_size", str(2 // processes), "--print_freq", "1"]
    flags += ["--load_size", str(size), "--crop_size", str(size)]
    flags += ["--num_threads", "0", "--no_html", "--display_id", "0"]
    command = [sys.executable, *launcher, str(ROOT / "train.py"), *flags, "--device", plan.device, *plan.networks]
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: failed with exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return images_per_second(root / "run" / "losses.jsonl")


def images_per_second(log: Path) -> float:
    """The rate between record FIRST of a log and its last record."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    first, last = records[FIRST - 1], records[-1]
    return (last["images"] - first["images"]) / (last["seconds"] - first["seconds"])
