"""What every dataset is made of: samples drawn by epoch and index, and what happens to bad images."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import cache as image_cache
from data import transforms
from data.dataset_options import DatasetOptions
from data.formats import image_reader

Sample = dict[str, Any]
MOST_DRAWS = 20  # of other samples in place of bad ones, before the dataset is taken for unusable


class BaseDataset(DatasetOptions, ABC):
    """A dataset: copy data/template_dataset.py to write one.

    A sample is a dictionary of float32 images (C, H, W) in [-1, 1] and of strings. It may hold no randomness but
    that of the generator it is given, so that the number of loader workers changes nothing.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.transform = transforms.Transform(opt)
        self.transparent = False
        self.cache: image_cache.ImageCache | None = None  # which the loader sets, if --cache says so

    @abstractmethod
    def __len__(self) -> int:
        """How many samples an epoch has."""

    @abstractmethod
    def load(self, index: int, random: np.random.Generator) -> Sample:
        """The sample at that place, with every random choice from `random`. May raise BadImage."""

    def files(self) -> Mapping[str, Sequence[Path]]:
        """The files that samples are made of, in order, by the folder: a run that goes on has to find the same."""
        return {}

    def summary(self) -> str:
        """What was found, in a line for the console."""
        return f"{len(self)} images"

    def read(self, path: Any, channels: int) -> Any:
        """The decoded image, see `image_reader.read_image`; transparency is noted for the report.

        Raises BadImage also for one so long and thin that --preprocess would make it enormous.
        """
        image = self.kept([path], f"{channels} channels, as it is", lambda: self._fitting(path, channels))
        return image.clone() if self.cache else image  # as a dataset may write to what it has read

    def image(self, path: Any, channels: int, random: np.random.Generator) -> Any:
        """The image of a file as samples have it: `read` and transformed, but kept by --cache in its final scale."""
        settings = f"{channels} channels, {self.transform.scaling}"
        scaled = self.kept([path], settings, lambda: self.transform.scale(self._fitting(path, channels)))
        return self.transform.finish(scaled, self.transform.choose(random))

    def kept(self, paths: Sequence[Any], settings: str, make: Callable[[], Any]) -> Any:
        """The image (C, H, W), uint8 or float32, that `make` makes of files: out of the cache, or for it.

        `settings` says what else the pixels depend on. The image must not be written to.
        """
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

    def _fitting(self, path: Any, channels: int) -> Any:
        image = self.decode(path, channels)
        self.refuse_thin(path, image)
        return image

    def decode(self, path: Any, channels: int) -> Any:
        """As `read`, but neither cached nor refused for its shape: for what goes on to `refuse_thin` and `kept`."""
        return image_reader.read_image(path, channels, on_transparency=self._note_transparency)

    def refuse_thin(self, path: Any, image: Any) -> None:
        """Raises BadImage for an image (C, H, W), or a part of one, that --preprocess would make enormous."""
        height, width = self.transform.target_size(image.shape[-2], image.shape[-1])
        if height * width > image_reader.MOST_PIXELS:
            raise image_reader.BadImage(path, f"would be scaled to {width}x{height} pixels: too long and thin")

    def _note_transparency(self) -> None:
        self.transparent = True

    def __getitem__(self, place: tuple[int, int]) -> Sample:
        """The sample of (epoch, index). Reports go along with it: "bad_images", "transparent" and "note".

        In training another one is drawn in place of a sample that can't be read; in testing, or when the draws
        come to an end, there is only the report.
        """
        epoch, index = place
        random = np.random.default_rng((self.opt.seed, epoch, index))
        bad: list[tuple[str, str]] = []
        self.transparent = False
        sample: Sample = {}
        for _ in range(MOST_DRAWS if self.opt.is_train else 1):
            try:
                sample = self.load(index, random)
                break
            except image_reader.BadImage as error:
                bad.append((error.path, error.reason))
                index = int(random.integers(len(self)))
        note = self.cache.trouble if self.cache else ""
        return sample | {"bad_images": bad, "transparent": self.transparent, "note": note}
