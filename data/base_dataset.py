"""The base class of all datasets: samples keyed by epoch and index, and the handling of unreadable images."""

from __future__ import annotations

import argparse
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import cache as image_cache
from data import earlier_versions, image_folder, transforms
from data.dataset_options import DatasetOptions
from data.formats import image_reader
from data.formats.decoding import Sizes
from data.held_out import Selection
from data.image_folder import IgnoredFiles, ImageFiles
from util.image_sizes import ImageSizes
from util.stage import Stage

Sample = dict[str, Any]
MAX_DRAWS = 20  # samples tried in a row, in training, before the images of a dataset count as unreadable


class BaseDataset(DatasetOptions, ABC):
    """A dataset. To write your own, copy data/template_dataset.py.

    A sample is a dictionary of float32 images (C, H, W) in [-1, 1] and of strings. Its randomness comes only from the
    generator that `load` receives, so the number of loader workers changes nothing.
    """

    is_paired = False
    """Whether every sample is an image with its ground truth, so that errors show which checkpoint is best."""

    phase_endings: tuple[str, ...] = ("", "A", "B")
    """The endings of the names of the folders that it reads for a phase: train, trainA, trainB."""

    def __init__(self, opt: argparse.Namespace, stage: Stage | None = None, phase: str | None = None) -> None:
        """`stage`: what the samples are for; `phase`: the prefix of the folder names, by default --phase."""
        self.opt = opt
        name = type(self).__name__
        self.stage = stage or earlier_versions.missing_stage(opt, f"{name}(opt)", f"{name}(opt, stage, phase)")
        self.phase: str = phase or opt.phase
        self.transform = transforms.Transform(opt, self.stage)
        self.selection = Selection(opt, self.stage)
        self.sizes = ImageSizes()
        self.replaced: list[image_reader.UnreadableImage] = []  # images that a sample has another one in place of
        self.transparent = False
        self.profile = ""  # the name of a color profile other than sRGB that an image of the sample has
        self.icc: str = getattr(opt, "icc", "ignore")
        self.cache: image_cache.ImageCache | None = None  # the loader sets it according to --cache

    @classmethod
    def has_phase(cls, opt: argparse.Namespace, phase: str) -> bool:
        """Whether --dataroot has a folder of this phase, such as valA, that this kind of dataset reads."""
        return any(Path(opt.dataroot, f"{phase}{ending}").is_dir() for ending in cls.phase_endings)

    def list_images(self, folder: Path) -> tuple[ImageFiles, IgnoredFiles]:
        """The images in a folder that this stage uses, at most --max_dataset_size, and the folder's other files.

        Raises UserError, see `image_folder.list_images` and `data.held_out.Selection.choose`.
        """
        if not self.selection.is_needed:
            return image_folder.list_images(folder, self.opt.max_dataset_size)
        paths, ignored = image_folder.list_images(folder)
        names = list(paths.names())
        start = len(os.path.join(folder, ""))
        chosen = self.selection.choose([name[start:] for name in names], folder)
        return ImageFiles([names[i] for i in chosen[: self.opt.max_dataset_size]]), ignored

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples in an epoch."""

    @abstractmethod
    def load(self, index: int, random: np.random.Generator) -> Sample:
        """The sample at that index; every random choice comes from `random`. May raise UnreadableImage."""

    def files(self) -> Mapping[str, Sequence[Path]]:
        """The files that samples are read from, in order, by folder: a resumed run requires the same files."""
        return {}

    def summary(self) -> str:
        """One line for the console: what the dataset contains."""
        return f"{len(self)} images"

    def notes(self) -> list[str]:
        """Further lines for the console, for what is special about these images and options."""
        return self.transform.notes()

    def read(self, path: Any, channels: int) -> Any:
        """The decoded image (C, H, W) in 0..255, see `image_reader.read_image`. Transparency is recorded.

        Raises UnreadableImage, also for an image of a size that `check_size` refuses.
        """
        image = self.cached([path], f"{channels} channels, as it is", lambda: self._decode_checked(path, channels))
        self.check_size(path, image)  # a cached image may be from a run of another model
        return image.clone() if self.cache else image  # the caller may modify it

    def image(self, path: Any, channels: int, random: np.random.Generator) -> Any:
        """The image of a file, decoded and transformed, float32 (C, H, W) in [-1, 1]; --cache stores it resized.

        Raises UnreadableImage.
        """
        settings = f"{channels} channels, {self.transform.scaling}"
        scaled = self.cached([path], settings, lambda: self._scaled(path, channels))
        self.check_fit(path, scaled)
        return self.transform.finish(scaled, self.transform.choose(random))

    def cached(self, paths: Sequence[Any], settings: str, make: Callable[[], Any]) -> Any:
        """The image (C, H, W), uint8 or float32, that `make` computes from files: cached if --cache is used.

        `settings` describes everything else that the pixels depend on. The image must not be modified.
        """
        if self.icc != "ignore":
            settings += f", icc {self.icc}"
        key = image_cache.make_key(paths, settings) if self.cache else None
        entry = self.cache.get(key) if self.cache and key else None
        if entry is None:
            before, self.transparent = self.transparent, False
            try:
                entry = make(), self.transparent
            finally:
                self.transparent |= before
            if self.cache and key:
                self.cache.put(key, *entry)
        self.transparent |= entry[1]
        return entry[0]

    def kept(self, paths: Sequence[Any], settings: str, make: Callable[[], Any]) -> Any:
        """The earlier name of `cached`."""
        earlier_versions.warn_renamed("BaseDataset.kept", "BaseDataset.cached")
        return self.cached(paths, settings, make)

    def _decode_checked(self, path: Any, channels: int) -> Any:
        image = self.decode(path, channels)
        self.check_size(path, image)
        return image

    def _scaled(self, path: Any, channels: int) -> Any:
        image = self.decode_to_scale(path, channels, self.transform.needed_size)
        self._check_target(path, *image.size)
        return self.transform.scale_read(image)

    def decode_to_scale(self, path: Any, channels: int, needed: Sizes | None) -> image_reader.ReadImage:
        """The decoded image for `Transform.scale_read`: with --fast_decode, a large JPEG is decoded at reduced scale.

        `needed`: maps the height and width of the image to those that are needed; None without --fast_decode.
        A dataset with its own `decode` gets whole images from it.
        """
        if needed is None or type(self).decode is not BaseDataset.decode:
            return image_reader.ReadImage.whole(self.decode(path, channels))
        return image_reader.read_reduced(
            path,
            channels,
            needed,
            on_transparency=self._record_transparency,
            icc=self.icc,
            on_profile=self._record_profile,
        )

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after scaling, before any crop, for a file whose image has this size."""
        return self.transform.target_size(height, width)

    def decode(self, path: Any, channels: int) -> Any:
        """The decoded image, neither cached nor checked; for images that are passed to `check_size` and `cached`."""
        return image_reader.read_image(
            path,
            channels,
            on_transparency=self._record_transparency,
            icc=self.icc,
            on_profile=self._record_profile,
        )

    def check_size(self, path: Any, image: Any) -> None:
        """Raise UnreadableImage for an image (C, H, W), or part of one, whose size does not fit.

        --preprocess would make it enormous, or it is too small for the model's networks.
        """
        self._check_target(path, image.shape[-2], image.shape[-1])

    def _check_target(self, path: Any, image_height: int, image_width: int) -> None:
        height, width = self.transform.target_size(image_height, image_width)
        if height * width > image_reader.MAX_PIXELS:
            raise image_reader.UnreadableImage(path, f"would be resized to {width}x{height} pixels: too elongated")
        resized = "" if (height, width) == (image_height, image_width) else f" (of {image_width}x{image_height})"
        self._check_sides(path, height, width, resized)

    def check_fit(self, path: Any, scaled: Any) -> None:
        """Raise UnreadableImage for a resized image (C, H, W) that is too small for the model's networks.

        `check_size` finds it earlier, unless it is from a cache that a run of another model has filled.
        """
        self._check_sides(path, scaled.shape[-2], scaled.shape[-1])

    def _check_sides(self, path: Any, height: int, width: int, resized: str = "") -> None:
        if not self.transform.crops and (problem := self.sizes.problem(height, width, resized)):
            raise image_reader.UnreadableImage(path, problem)

    def require_sizes(self, sizes: ImageSizes) -> None:
        """Skip images that don't fit these sizes, and don't resize images to the multiple if the model pads them.

        To be called before the first sample is loaded.
        """
        self.sizes = sizes
        self.transform.keeps_size = sizes.padded

    def refuse_thin(self, path: Any, image: Any) -> None:
        """The earlier name of `check_size`."""
        earlier_versions.warn_renamed("BaseDataset.refuse_thin", "BaseDataset.check_size")
        self.check_size(path, image)

    def _record_transparency(self) -> None:
        self.transparent = True

    def _record_profile(self, name: str) -> None:
        self.profile = name

    def __getitem__(self, place: tuple[int, int]) -> Sample:
        """The sample of (epoch, index), together with its reports "unreadable", "transparent", "profile" and "note".

        In training, another sample is drawn in place of an unreadable one. In validation and testing, or after
        MAX_DRAWS unreadable samples, only the reports are returned.
        """
        epoch, index = place
        random = np.random.default_rng((self.opt.seed, epoch, index))
        unreadable: list[tuple[str, str]] = []
        self.transparent, self.profile, self.replaced = False, "", []
        sample: Sample = {}
        for _ in range(MAX_DRAWS if self.stage is Stage.TRAIN else 1):
            try:
                sample = self.load(index, random)
                break
            except image_reader.UnreadableImage as error:
                unreadable.append((error.path, error.reason))
                index = int(random.integers(len(self)))
        unreadable += [(error.path, error.reason) for error in self.replaced]
        note = self.cache.trouble if self.cache else ""
        reports = {"unreadable": unreadable, "transparent": self.transparent, "profile": self.profile, "note": note}
        return sample | reports
