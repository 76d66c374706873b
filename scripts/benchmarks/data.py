"""Images per second of the loader and of test.py, against plain implementations, in the same run."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data import create_dataset
from data.formats.opening import FORMATS
from data.loader import Loader
from models import create_model
from options import TestOptions, TrainOptions
from scripts.make_map_dataset import package_folder, read_world
from util import images
from util.pages.gallery import Gallery

Figures = dict[str, dict[str, float]]


def write_jpegs(root: Path, phase: str, size: int, count: int) -> None:
    """Square tiles of the world as JPEGs of quality 90: satellite images in <phase>A, relief maps in <phase>B."""
    for domain, world in (("A", "bmng"), ("B", "shadedrelief")):
        picture = read_world(package_folder() / f"{world}.jpg", 5400)
        (root / f"{phase}{domain}").mkdir(parents=True)
        places = [(y, x) for y in range(400, 2200 - size, size) for x in range(0, 5400 - size, size)][:count]
        for y, x in places:
            tile = Image.fromarray(picture[y : y + size, x : x + size])
            tile.save(root / f"{phase}{domain}" / f"y{y:04}_x{x:04}.jpg", quality=90)


def in_alternation(functions: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median measurement of each function; they run alternately, `repeats` times."""
    measured: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            measured[name].append(function())
    return {name: median(values) for name, values in measured.items()}


def compare(rates: dict[str, float]) -> Figures:
    """Each rate with that of "plain", and their ratio."""
    plain = rates.pop("plain")
    return {name: {"plain": plain, "ours": rate, "ratio": rate / plain} for name, rate in rates.items()}


def plain_image(path: Path, load_size: int, crop_size: int, random: np.random.Generator) -> Tensor:
    """The textbook way: Pillow, one image at a time; no random crop or flip if load_size equals crop_size."""
    image = Image.open(path, formats=list(FORMATS)).convert("RGB")
    image = image.resize((load_size, load_size), Image.Resampling.BICUBIC)
    if load_size > crop_size:
        left, top = random.integers(load_size - crop_size + 1, size=2).tolist()
        image = image.crop((left, top, left + crop_size, top + crop_size))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
    return (tensor - 0.5) / 0.5


def plain_epoch(root: Path) -> float:
    random = np.random.default_rng(0)
    paths = [sorted((root / f"train{domain}").iterdir()) for domain in "AB"]
    start = time.perf_counter()
    for pair in zip(*paths, strict=True):
        for path in pair:
            plain_image(path, 286, 256, random).unsqueeze(0)
    return 2 * len(paths[0]) / (time.perf_counter() - start)


def measure_loader(size: int = 256, count: int = 100, repeats: int = 5) -> Figures:
    """Images per second on one core, loaded in the main process: batch 1, load_size 286, crop_size 256.

    Rows are "loader", "loader, cache ram" and "loader, cache disk". The first epoch, which fills the cache, is not
    counted.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_jpegs(root, "train", size, count)
            functions = {"plain": lambda: plain_epoch(root)}
            for cache in ("none", "ram", "disk"):
                flags = ["--dataroot", folder, "--num_threads", "0", "--seed", "1", "--cache", cache]
                loader = create_dataset(TrainOptions().parse([*flags, "--serial_batches"]))
                list(loader)

                def epoch(loader: Loader = loader) -> float:
                    start = time.perf_counter()
                    loaded = sum(len(batch["A"]) + len(batch["B"]) for batch in loader)
                    return loaded / (time.perf_counter() - start)

                functions["loader" if cache == "none" else f"loader, cache {cache}"] = epoch
            return compare(in_alternation(functions, repeats))
    finally:
        torch.set_num_threads(threads)


def plain_test(opt: argparse.Namespace, generators: list[torch.nn.Module], folder: Path) -> float:
    """Translate and reconstruct both images of one pair after another; save images with Pillow's defaults."""
    paths = [sorted(Path(opt.dataroot, f"test{domain}").iterdir()) for domain in "AB"]
    folder.mkdir(parents=True, exist_ok=True)
    G_A, G_B = generators
    device = next(G_A.parameters()).device
    start = time.perf_counter()
    for path_A, path_B in zip(*paths, strict=True):
        sources = (plain_image(p, 256, 256, np.random.default_rng(0)).unsqueeze(0) for p in (path_A, path_B))
        real_A, real_B = (source.to(device) for source in sources)
        with torch.no_grad():
            fake_B, fake_A = G_A(real_A), G_B(real_B)
            rec_A, rec_B = G_B(fake_B), G_A(fake_A)
        shown = {"real_A": real_A, "fake_B": fake_B, "rec_A": rec_A, "real_B": real_B, "fake_A": fake_A, "rec_B": rec_B}
        for name, image in shown.items():
            Image.fromarray(images.to_array(image[0])).save(folder / f"{path_A.stem}_{name}.png")
    return len(paths[0]) / (time.perf_counter() - start)


def measure_test(count: int = 4, repeats: int = 3) -> Figures:
    """Images of testA per second, from folder to gallery, at 256 px: one direction, against the plain loop."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_jpegs(root / "data", "test", 256, count)
        flags = ["--dataroot", str(root / "data"), "--checkpoints_dir", str(root), "--name", "run", "--no_dropout"]
        (root / "run").mkdir()
        flags += ["--model", "cycle_gan", "--translate", "A", "--no_reconstruction"]
        opt = TestOptions().parse([*flags, "--num_threads", str(min(4, os.cpu_count() or 1))])
        model = create_model(opt)  # with random weights: the time does not depend on them

        def ours() -> float:
            start = time.perf_counter()
            gallery = Gallery(root / "results", "benchmark")
            for batch in create_dataset(opt):
                model.set_input(batch)
                model.test()
                for translation in model.translations(batch):
                    arrays = {name: images.to_array(image) for name, image in translation.visuals.items()}
                    gallery.add_row(translation.path, arrays)
            gallery.close()
            return count / (time.perf_counter() - start)

        networks = list(model.networks().values())
        functions = {"plain": lambda: plain_test(opt, networks, root / "plain"), "test, one direction": ours}
        return compare(in_alternation(functions, repeats))


if __name__ == "__main__":
    for size in (256, 512):
        for name, figures in measure_loader(size).items():
            print(size, name, {key: round(value, 2) for key, value in figures.items()})
    for name, figures in measure_test().items():
        print(name, {key: round(value, 2) for key, value in figures.items()})
