"""Images per second of the loader by the size of the files and the number of workers, with and without --fast_decode.

The files are rendered, so that no dataset is needed.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data import create_dataset
from data.loader import Loader
from data.workers import available_cores
from options import TrainOptions
from scripts.benchmarks.data import in_alternation
from scripts.benchmarks.workers import Figures, Plan

WORKERS = (0, 1, 2, 4, 8, 16)
RENDERED = 4  # different photographs per size; the other files are links to them
MOST_FILES = 1000
GRAIN = 4  # gray levels: a JPEG of 4000x3000 pixels then has 2 MB


def render_photograph(width: int, height: int, seed: int) -> Image.Image:
    """Smooth noise on every scale, as in photographs, and grain."""
    random = np.random.default_rng(seed)
    total, cells = np.zeros((height, width, 3), np.float32), 2
    while cells < max(width, height):
        shape = (max(2, cells * height // max(width, height)), max(2, cells * width // max(width, height)), 1)
        noise = (1.2 * random.normal(size=shape) + 0.4 * random.normal(size=(*shape[:2], 3))).astype(np.float32)
        for channel in range(3):
            plane = Image.fromarray(np.ascontiguousarray(noise[..., channel]))
            total[..., channel] += np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.55
        cells *= 2
    total *= 50 / total.std()
    total += 118 - total.mean() + GRAIN * random.normal(size=total.shape)
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def write_photographs(root: Path, width: int, height: int, pixels: float) -> float:
    """Fill trainA and trainB with JPEGs of quality 90, of `pixels` in total; returns the mean megabytes of a file."""
    count = min(MOST_FILES, max(RENDERED, int(pixels / (2 * width * height))))
    sizes = []
    for domain in "AB":
        folder = root / f"train{domain}"
        folder.mkdir(parents=True)
        for number in range(count):
            path, first = folder / f"{number:04}.jpg", folder / f"{number % RENDERED:04}.jpg"
            if number < RENDERED:
                render_photograph(width, height, 2 * number + (domain == "B")).save(path, quality=90)
                sizes.append(path.stat().st_size)
            else:
                os.link(first, path)
    return sum(sizes) / len(sizes) / 1e6


def _epoch(folder: str, workers: int, flags: list[str]) -> Callable[[], float]:
    """A function that loads an epoch and returns the images per second; the first one starts the workers."""
    arguments = ["--dataroot", folder, "--num_threads", str(workers), "--seed", "1", "--serial_batches", *flags]
    loader: Loader = create_dataset(TrainOptions().parse([*arguments, "--device", "cpu"]))
    list(loader)

    def epoch() -> float:
        start = time.perf_counter()
        loaded = sum(len(batch["A"]) + len(batch["B"]) for batch in loader)
        return loaded / (time.perf_counter() - start)

    return epoch


def measure_sources(plan: Plan) -> Figures:
    """Images per second at batch 1, load_size 286, crop_size 256, from files in the system's memory cache.

    The columns are the numbers of workers, up to the number of cores; 0 is the main process, on one core. "ratio" is
    the speedup of a row with --fast_decode over the row above it, in the main process.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    figures: Figures = {}
    try:
        for width, height in plan.sources:
            figures |= _measure_size(width, height, plan)
    finally:
        torch.set_num_threads(threads)
    return figures


def _measure_size(width: int, height: int, plan: Plan) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        name, megabytes = f"{width}x{height}", write_photographs(Path(folder), width, height, plan.source_pixels)
        columns = [count for count in WORKERS if count <= available_cores()]
        rows = {name: [], f"{name} --fast_decode": ["--fast_decode"]}
        functions = {
            f"{row}, {count}": _epoch(folder, count, flags) for row, flags in rows.items() for count in columns
        }
        rates = in_alternation(functions, plan.repeats)
    figures: Figures = {}
    for row in rows:
        figures[row] = {"MB": megabytes} | {f"{count} workers": rates[f"{row}, {count}"] for count in columns}
    figures[f"{name} --fast_decode"]["ratio"] = rates[f"{name} --fast_decode, 0"] / rates[f"{name}, 0"]
    return figures
