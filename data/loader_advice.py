"""Advice for a training run that waits for its images: how many workers, which cache, or --fast_decode."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data.base_dataset import BaseDataset
from data.formats.opening import open_image

LEAST_SHARE = 0.1  # of the time; if training waits less, no advice is printed
SAMPLED = 8  # files of each folder whose headers are read


@dataclass(frozen=True)
class Images:
    """Estimates from a sample of the files."""

    scaled_bytes: int
    """Bytes of all scaled images, as --cache keeps them; 0 if unknown."""
    are_large_jpegs: bool
    """Whether --fast_decode would decode most of them at reduced scale."""


@dataclass(frozen=True)
class Conditions:
    """The measurements and limits that the advice depends on."""

    waiting: float
    """Mean seconds that a step waits for its batch."""
    step: float
    """Mean seconds of a step without this wait."""
    workers: int
    cores: int
    """Processors for the workers of this process; 0 if the training step itself needs them."""
    memory: int
    """Bytes that --cache ram may occupy."""
    images: Images


def advise(now: Conditions) -> str:
    """One line that names the remedy; empty if training hardly waits, or nothing would help."""
    share = now.waiting / (now.waiting + now.step)
    if share < LEAST_SHARE:
        return ""
    problem = f"note: training waits for images {share:.0%} of the time"
    # Always busy workers take workers * (waiting + step) seconds each for a batch; the main process takes `waiting`.
    seconds = now.workers * (now.waiting + now.step) if now.workers else now.waiting
    needed = math.ceil(seconds / now.step)
    if needed <= now.cores:
        return f"{problem}: use --num_threads {needed} (now {now.workers}, with {now.cores} cores)"
    reason = f"{needed} loader workers would be needed on {now.cores} cores" if now.cores else "all cores are in use"
    remedies = [_cache(now)] if now.images.scaled_bytes else []
    if not remedies and now.cores > now.workers:
        remedies.append(f"--num_threads {now.cores}")
    if now.images.are_large_jpegs:
        remedies.append("--fast_decode, which changes pixels slightly")
    return f"{problem}, and {reason}: use {', or '.join(remedies)}" if remedies else ""


def _cache(now: Conditions) -> str:
    size = f"{now.images.scaled_bytes / 1e9:.1f} GB"
    if now.images.scaled_bytes <= now.memory:
        return f"--cache ram, which decodes images in the first epoch only (about {size} of memory)"
    return f"--cache disk, which decodes images once (about {size} on disk)"


def sample_images(dataset: BaseDataset) -> Images:
    """An estimate from the headers of a few files. Unreadable files are not counted, and raise no error."""
    total, large, seen = 0.0, 0, 0
    for paths in dataset.files().values():
        sizes: list[int] = []
        for path in paths[:: math.ceil(len(paths) / SAMPLED)] if paths else []:
            for size, is_large in _scaled(dataset, path):
                sizes.append(size)
                large += is_large
        total += len(paths) * sum(sizes) / len(sizes) if sizes else 0
        seen += len(sizes)
    scales = dataset.transform.scales_down and not dataset.transform.fast_decode
    return Images(round(total), are_large_jpegs=scales and 2 * large > seen)


def _scaled(dataset: BaseDataset, path: Path) -> Iterator[tuple[int, bool]]:
    """The bytes of a scaled image, and whether it is a JPEG that can be decoded at half its size or less."""
    # A damaged header can make Pillow raise any exception; the loader reports such files.
    with suppress(Exception), open_image(path) as image:
        height, width = dataset.scaled_size(image.height, image.width)
        is_large = image.format in ("JPEG", "MPO") and image.height >= 2 * height and image.width >= 2 * width
        yield height * width * max(dataset.opt.input_nc, dataset.opt.output_nc), is_large
