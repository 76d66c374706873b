"""Two folders of unpaired images: <phase>A and <phase>B."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from data import image_folder
from data.base_dataset import MAX_DRAWS, BaseDataset, Sample
from data.formats.image_reader import UnreadableImage
from data.unaligned_options import UnalignedOptions
from util.errors import UserError
from util.stage import Stage

MIN_PAIRED = 0.9  # of the names: below it, equal names (001.png, ...) are more likely a coincidence than pairs


class UnalignedDataset(UnalignedOptions, BaseDataset):
    """As long as the longer folder. A is taken in order; B at random, or in order with --serial_batches.

    In validation and testing, both are taken in order. If at least MIN_PAIRED of the file names in the smaller folder
    also occur in the other one, images with the same name count as pairs (unless --no_truth is given), and a sample
    also has ground truths: A_truth is the image in A with the same name as the sample's B, which is the ideal
    translation of B, and B_truth likewise. A truth is None if no such image exists, it is unreadable, its size differs,
    or the sample repeats an image of the shorter folder.
    """

    phase_endings = ("A", "B")

    def __init__(self, opt: argparse.Namespace, stage: Stage | None = None, phase: str | None = None) -> None:
        super().__init__(opt, stage, phase)
        root = Path(opt.dataroot)
        names = [f"{self.phase}A", f"{self.phase}B"]
        if not all((root / name).is_dir() for name in names):
            raise UserError(image_folder.explain_missing(root, names))
        self.folders = {"A": root / names[0], "B": root / names[1]}
        self.paths, self.ignored = {}, {}
        for domain, folder in self.folders.items():
            self.paths[domain], self.ignored[domain] = self.list_images(folder)
        nc = {"A": opt.input_nc, "B": opt.output_nc}
        self.channels = nc if opt.direction == "AtoB" else {"A": nc["B"], "B": nc["A"]}
        # test.py has --translate, for models that can translate one domain alone.
        translated = getattr(opt, "translate", "both") if self.stage is Stage.TEST else "both"
        self.domains = "AB" if translated == "both" else translated
        self.is_training = self.stage is Stage.TRAIN
        self.by_name: dict[str, dict[str, int]] = {}
        self.matches = 0  # names that occur in both folders
        if not (self.is_training or getattr(opt, "no_truth", False)):
            self._match_names()

    def _match_names(self) -> None:
        """Fill `by_name` if the images of the two folders are pairs."""
        by_name = {domain: self._by_name(domain) for domain in "AB"}
        self.matches = len(by_name["A"].keys() & by_name["B"].keys())
        if self.matches >= MIN_PAIRED * min(map(len, by_name.values())):
            self.by_name = by_name

    def _by_name(self, domain: str) -> dict[str, int]:
        """The index of each image by its name: its path below the folder, without the extension."""
        names = self.paths[domain].names()
        return {self._name(domain, name): index for index, name in enumerate(names)}

    def _name(self, domain: str, path: str) -> str:
        return os.path.splitext(path)[0][len(str(self.folders[domain])) + 1 :]

    def __len__(self) -> int:
        return max(len(self.paths[domain]) for domain in self.domains)

    def files(self) -> Mapping[str, Sequence[Path]]:
        """The images of the two folders."""
        return {folder.name: self.paths[domain] for domain, folder in self.folders.items()}

    def summary(self) -> str:
        """The number of images and of other files in each folder."""
        parts = []
        for domain, folder in self.folders.items():
            also = self.ignored[domain].describe(self.opt.verbose)
            parts.append(f"{len(self.paths[domain])} images in {folder}{also}")
        return ", ".join(parts)

    def notes(self) -> list[str]:
        notes = super().notes()
        if self.is_training or not self.matches:
            return notes
        smaller = min(len(self.paths[domain]) for domain in "AB")
        names = " and ".join(map(str, self.folders.values()))
        equal = f"{self.matches} of {smaller} file names occur in both {names}"
        if self.by_name:
            return [*notes, f"{equal}, so images with the same name are scored as pairs (--no_truth switches this off)"]
        return [*notes, f"note: only {equal}, so images with the same name are not scored as pairs"]

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"A", "B": images, "A_paths", "B_paths": their files}, and unless training "A_truth", "B_truth".

        With --translate A there are only "A", "A_paths" and "B_truth"; with --translate B likewise.
        """
        in_order = self.opt.serial_batches or not self.is_training
        indices = {
            "A": index % len(self.paths["A"]),
            "B": index % len(self.paths["B"]) if in_order else int(random.integers(len(self.paths["B"]))),
        }
        sample: Sample = {}
        for domain in self.domains:
            other = "B" if domain == "A" else "A"
            indices[domain], sample[domain] = self._readable_image(domain, index, indices[domain], random)
            path = str(self.paths[domain][indices[domain]])
            sample[f"{domain}_paths"] = path
            if self.by_name:
                # An image that comes again, for want of others, must not count twice in the scores.
                truth = self._truth(other, self._name(domain, path), random) if indices[domain] == index else None
                same_size = truth is not None and truth.shape[-2:] == sample[domain].shape[-2:]
                sample[f"{other}_truth"] = truth if same_size else None
        return sample

    def _readable_image(self, domain: str, index: int, wanted: int, random: np.random.Generator) -> tuple[int, Tensor]:
        """The index and the image of `wanted`. Raises UnreadableImage.

        In testing, an earlier image takes the place of an unreadable one if the sample's other image would be lost.
        """
        other = "B" if domain == "A" else "A"
        is_needed = not self.is_training and other in self.domains and index < len(self.paths[other])
        try:
            return wanted, self.image(self.paths[domain][wanted], self.channels[domain], random)
        except UnreadableImage as error:
            if not is_needed or self.replaced:
                raise
            self.replaced.append(error)
        for step in range(1, MAX_DRAWS):
            try:
                place = (wanted - step) % len(self.paths[domain])
                return place, self.image(self.paths[domain][place], self.channels[domain], random)
            except UnreadableImage:
                continue
        raise self.replaced.pop()

    def _truth(self, domain: str, name: str, random: np.random.Generator) -> Tensor | None:
        """The image of that name, or None if it does not exist or is unreadable (it is reported as a sample)."""
        match = self.by_name[domain].get(name)
        try:
            return None if match is None else self.image(self.paths[domain][match], self.channels[domain], random)
        except UnreadableImage:
            return None
