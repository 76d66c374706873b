"""The images on which an exported file is compared with the network: real ones of the run, in five sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data import DATASETS
from data.formats.image_reader import UnreadableImage, read_image, read_labels
from data.image_folder import list_images
from data.transforms import resize, resize_labels
from scripts.exporting.source import Source
from util.arguments import with_values
from util.errors import UserError
from util.stage import Stage

COUNT = 5
LARGEST_EXAMPLE = 512  # pixels, of the longer side


@dataclass
class Images:
    """Images as they are stored, uint8 or uint16 (N, H, W, C)."""

    batches: list[np.ndarray]
    """In five sizes, of which one has two images."""
    examples: list[np.ndarray]
    """Whole real images, N = 1, for a model card; empty if there are none."""
    bits: int
    origin: str
    """Where they come from, in words."""

    @property
    def are_real(self) -> bool:
        return bool(self.examples)


def find_images(source: Source, folder: Path | None, bits: int | None) -> Images:
    """Images of the source's domain: of `folder`, or of the run's dataset, or else synthetic ones.

    `bits`: 8 or 16; by default 16 if an image of the run has more than 8 bits per sample.

    Raises UserError if `folder` has no image that can be read.
    """
    found, origin = (_from_folder(source, folder), f"images of {folder.name}") if folder else _from_dataset(source)
    if folder and not found:
        raise UserError(f"--images {folder} contains no image that can be read: choose a folder of images")
    real, found = bool(found), found or [_synthetic(source, number) for number in range(COUNT)]
    if bits is None:
        bits = 8 if source.classes or all(_is_eight_bit(image) for image in found) else 16
    sizes = five_sizes(source.multiple, source.least)
    scaled = [_resized(source, image, *size) for image, size in zip(islice(cycle(found), COUNT), sizes, strict=True)]
    batches = [_stored(image, bits) for image in scaled]
    batches[1] = np.concatenate([batches[1], batches[1][:, :, ::-1]])
    examples = [_stored(_shrunk(source, image), bits) for image in found] if real else []
    return Images(batches, examples, bits, origin)


def five_sizes(multiple: int, least: int) -> list[tuple[int, int]]:
    """Heights and widths for a network that takes sides of a multiple and of at least `least` pixels.

    A multiple; odd; wide; tall; small. Not the smallest: there, the norm of a deep layer is over few, nearly equal
    numbers, and magnifies the rounding errors of all programs, torch included.
    """
    side = max(64, min(4 * multiple, 256))
    half, small = side // 2, max(least, min(3 * multiple, 3 * side // 4))
    return [
        (side, side),
        (side + 1, side - 3),
        (half + 1, side + half),
        (side + half + 2, half + 3),
        (small + 1, small + 4),
    ]


def _from_dataset(source: Source) -> tuple[list[Tensor], str]:
    """Up to five images of the run's dataset in 0..255, and where they are; none if the dataset is gone."""
    if not source.opt.dataroot:  # of weights that were trained elsewhere
        return [], "synthetic images"
    opt = with_values(source.opt, preprocess="none", max_dataset_size=None)
    for phase in dict.fromkeys((opt.phase, "val", "train")):
        try:
            dataset = DATASETS.find(opt.dataset_mode)(opt, Stage.TEST, phase)
        except (UserError, OSError):
            continue
        dataset.require_sizes(source.model.image_sizes(Stage.TEST))
        if images := list(islice(_samples(source, dataset), COUNT)):
            return images, f"{phase} images of the run's dataset"
    return [], "synthetic images"


def _samples(source: Source, dataset: Any) -> Iterator[Tensor]:
    """Images of the source's domain in 0..255, from places spread over the dataset."""
    domain = source.direction[0]
    step = max(1, len(dataset) // COUNT)
    for index in dict.fromkeys([*range(0, len(dataset), step), *range(len(dataset))]):
        sample = dataset[(0, index)]
        if domain not in sample:  # the file is unreadable, or the dataset has one domain, its only one
            domain = "A" if "A" in sample else domain
        if domain not in sample:
            continue
        image = sample[domain]
        if len(image) == source.channels:
            yield image if source.classes else (image + 1) * 127.5
        else:  # a part of the image, such as its lightness
            yield read_image(
                sample[f"{domain}_paths"], source.channels, icc=getattr(source.opt, "icc", "ignore")
            ).float()


def _from_folder(source: Source, folder: Path) -> list[Tensor]:
    """Up to five images of a folder, in 0..255."""
    if not folder.is_dir():
        raise UserError(f"--images {folder} is not a folder: expected a folder of images")
    images: list[Tensor] = []
    for path in list_images(folder)[0]:
        try:
            images.append(
                read_labels(path, source.classes)
                if source.classes
                else read_image(path, source.channels, icc=getattr(source.opt, "icc", "ignore")).float()
            )
        except UnreadableImage as error:
            print(f"note: {error}")
        if len(images) == COUNT:
            break
    return images


def _synthetic(source: Source, number: int) -> Tensor:
    """Smooth shapes with grain, in 0..255, or areas of class ids."""
    random = torch.Generator().manual_seed(number)
    if source.classes:
        ids = torch.randint(source.classes, (1, 8, 8), generator=random, dtype=torch.uint8)
        return resize_labels(ids, 256, 256)
    shapes = resize(torch.rand(source.channels, 6, 6, generator=random) * 255, 256, 256)
    grain = 4 * torch.randn(shapes.shape, generator=random)
    return (shapes + grain).round().clamp(0, 255)


def _is_eight_bit(image: Tensor) -> bool:
    return bool((image - image.round()).abs().max() < 1e-3)


def _resized(source: Source, image: Tensor, height: int, width: int) -> Tensor:
    return (resize_labels if source.classes else resize)(image, height, width)


def _shrunk(source: Source, image: Tensor) -> Tensor:
    """The image with sides of at most LARGEST_EXAMPLE pixels."""
    height, width = image.shape[-2:]
    factor = min(1.0, LARGEST_EXAMPLE / max(height, width))
    return _resized(source, image, max(1, round(height * factor)), max(1, round(width * factor)))


def _stored(image: Tensor, bits: int) -> np.ndarray:
    """An image (C, H, W) in 0..255, or class ids, as it is stored: (1, H, W, C)."""
    if image.dtype == torch.uint8:
        return image.permute(1, 2, 0)[None].numpy()
    levels = (image.double().clamp(0, 255) * ((2**bits - 1) / 255)).round().permute(1, 2, 0)[None]
    return np.ascontiguousarray(levels.numpy()).astype({8: np.uint8, 16: np.uint16}[bits])
