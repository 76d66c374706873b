"""Convert files, PIL images, arrays and tensors to the input of networks, and translations back."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.formats.image_reader import MAX_PIXELS, SIXTEEN_BIT, image_to_tensor, read_labels, read_reduced
from data.formats.writer import FLOAT32, UINT8, UINT16, Traits, to_picture, to_samples, traits
from data.transforms import CENTRAL, Transform
from util.arguments import with_values
from util.stage import Stage

KINDS = "a path, a PIL image, a NumPy array (H, W, C) or (H, W), a tensor (C, H, W) or (N, C, H, W), or a list of these"


@dataclass(frozen=True)
class Source:
    """An image for a network: `x` (C, H, W) in [-1, 1], or class ids (1, H, W), and how to return its translation."""

    x: Tensor
    restore: Callable[[Tensor], Any]
    """From a translation (C', H', W') in [-1, 1] to the kind of the source."""


class ImageConverter:
    """Turns images into the input of one network."""

    def __init__(self, opt: argparse.Namespace, channels: int, *, original_size: bool, padded: bool) -> None:
        """The converter for a run.

        Args:
            opt: the resolved options of the run.
            channels: channels of the network's input.
            original_size: keep the size of images, without the resizing and cropping of the run.
            padded: whether the model pads images, so that --preprocess none keeps every size.
        """
        self.channels = channels
        self.icc: str = getattr(opt, "icc", "ignore")
        self.label_nc: int = getattr(opt, "label_nc", 0)
        self.transform = Transform(with_values(opt, preprocess="none") if original_size else opt, Stage.TEST)
        self.transform.keeps_size = original_size or padded

    def file(self, path: Path) -> tuple[Tensor, Traits]:
        """The input of the network, and the traits of the file. Raises UnreadableImage."""
        if self.label_nc:
            return self._from_ids(read_labels(path, self.label_nc)), Traits()
        image = read_reduced(path, self.channels, self.transform.needed_size, icc=self.icc)
        found = traits(path, image.pixels)
        self._check_size(*image.size)
        x = self.transform.finish(self.transform.scale_read(image), CENTRAL)
        return x, found if self.icc == "ignore" else replace(found, profile=b"")

    def source(self, image: Any) -> Source:
        """An image of any of KINDS except lists and batches.

        Raises ValueError for an image that the network can't take, UnreadableImage for a file.
        """
        if isinstance(image, str | os.PathLike):
            x, file = self.file(Path(image))
            return Source(x, lambda y: to_picture(y, file.dtype))
        if isinstance(image, Image.Image):
            return self._picture(image)
        if isinstance(image, np.ndarray):
            return self._array(image)
        if isinstance(image, Tensor):
            return self._tensor(image)
        raise ValueError(f"an image of type {type(image).__name__}: must be {KINDS}")

    def _picture(self, image: Image.Image) -> Source:
        if self.label_nc:
            if image.mode not in ("L", "P"):
                raise ValueError(f"a PIL image of mode {image.mode}: class ids are in mode L or P")
            return Source(self._from_ids(self._checked_ids(np.asarray(image))), to_picture)
        if self.channels > 4:
            raise ValueError(f"a PIL image: the network takes {self.channels} channels, so pass an array or a tensor")
        dtype = FLOAT32 if image.mode == "F" else UINT16 if image.mode in SIXTEEN_BIT else UINT8
        pixels = image_to_tensor(image, self.channels, self.icc)
        return Source(self._transformed(pixels), lambda y: to_picture(y, dtype))

    def _array(self, image: np.ndarray) -> Source:
        _require(image.ndim in (2, 3), f"an array of shape {image.shape}: must be (H, W, C) or (H, W)")
        _require(image.size > 0, f"an array of shape {image.shape}: it has no pixels")
        is_flat = image.ndim == 2

        def restore(y: Tensor, dtype: np.dtype) -> np.ndarray:
            samples = to_samples(y, dtype)
            return samples[..., 0] if is_flat and samples.shape[2] == 1 else samples

        if self.label_nc:
            _require(is_flat, f"an array of shape {image.shape}: class ids have the shape (H, W)")
            return Source(self._from_ids(self._checked_ids(image)), lambda y: restore(y, UINT8))
        dtype = image.dtype.newbyteorder("=")
        pixels = torch.from_numpy(_levels(image, dtype)).permute(2, 0, 1)
        if is_flat and self.channels == 3:
            pixels = pixels.expand(3, -1, -1)
        self._require_channels("an array", image.shape, len(pixels), "uint8 (H, W, C)")
        return Source(self._transformed(pixels), lambda y: restore(y, dtype))

    def _tensor(self, image: Tensor) -> Source:
        shape, dtype, device = tuple(image.shape), image.dtype, image.device
        _require(image.ndim == 3, f"a tensor of shape {shape}: must be (C, H, W), or (N, C, H, W) outside a list")
        _require(image.numel() > 0, f"a tensor of shape {shape}: it has no pixels")
        if self.label_nc:
            _require(shape[0] == 1, f"a tensor of shape {shape}: class ids have the shape (1, H, W)")
            ids = self._from_ids(self._checked_ids(image[0].cpu().numpy()))
            return Source(ids, lambda y: y.clone().to(device))
        is_float = image.is_floating_point()
        _require(is_float, f"a tensor of {dtype}: must be floating point from -1 to 1; arrays may be uint8 or uint16")
        self._require_channels("a tensor", shape, shape[0], "(C, H, W)")
        low, high = torch.stack(torch.aminmax(image.detach())).tolist()
        _require(-1 <= low <= high <= 1, f"a tensor with values from {low:g} to {high:g}: must be from -1 to 1")
        x = image.detach().float()
        if self.transform.target_size(*shape[1:]) != shape[1:] or self.transform.crops:
            x = self._transformed((x + 1) * 127.5)
        return Source(x, lambda y: y.to(device, dtype, copy=True))

    def _checked_ids(self, ids: np.ndarray) -> Tensor:
        """Class ids (H, W) as uint8 (1, H, W)."""
        _require(ids.dtype.kind in "ui", f"class ids of {ids.dtype}: must be integers")
        low, high = int(ids.min()), int(ids.max())
        if not 0 <= low <= high < self.label_nc:
            raise ValueError(
                f"class ids from {low} to {high}: --label_nc {self.label_nc} allows 0 to {self.label_nc - 1}"
            )
        return torch.from_numpy(ids.astype(np.uint8))[None]

    def _transformed(self, pixels: Tensor) -> Tensor:
        self._check_size(*pixels.shape[-2:])
        return self.transform.apply(pixels, CENTRAL)

    def _check_size(self, height: int, width: int) -> None:
        """Raise ValueError for an elongated image that the preprocessing of the run would make enormous."""
        height, width = self.transform.target_size(height, width)
        if height * width > MAX_PIXELS:
            raise ValueError(f"an image that would be resized to {width}x{height} pixels: too elongated")

    def _from_ids(self, ids: Tensor) -> Tensor:
        self._check_size(*ids.shape[-2:])
        return self.transform.apply_to_labels(ids, CENTRAL)

    def _require_channels(self, what: str, shape: tuple[int, ...], found: int, wanted: str) -> None:
        if found != self.channels:
            raise ValueError(
                f"{what} of shape {tuple(shape)} has {found} channels, but the network takes {self.channels}: pass "
                f"{wanted.replace('C', str(self.channels))}"
            )


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def _levels(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """An array (H, W, C) or (H, W) as (H, W, C) in 0..255, uint8 or float32: as the image reader scales files."""
    if image.ndim == 2:
        image = image[..., None]
    if dtype == UINT8:
        return np.require(image, requirements=["C", "W"])  # torch needs positive strides, and a writable array
    if dtype == UINT16:
        return image.astype(np.float32) * np.float32(255 / 65535)
    if dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(
            f"an array of {dtype}: must be uint8 (0 to 255), uint16 (0 to 65535) or floating point (0 to 1)"
        )
    low, high = float(image.min()), float(image.max())
    _require(0 <= low <= high <= 1, f"an array of {dtype} with values from {low:g} to {high:g}: must be from 0 to 1")
    return image.astype(np.float32) * np.float32(255)
