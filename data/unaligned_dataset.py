"""Two folders of unpaired images: <phase>A and <phase>B."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data import image_folder
from data.base_dataset import BaseDataset, Sample
from data.unaligned_options import UnalignedOptions
from util.errors import UserError
from util.stage import Stage


class UnalignedDataset(UnalignedOptions, BaseDataset):
    """As long as the longer folder. A is taken in order; B at random, or in order with --serial_batches.

    In validation and testing, both are taken in order, and a sample also has ground truths: A_truth is the image in A
    with the same name as the sample's B, which is the ideal translation of B, and B_truth likewise. A truth is None if
    no such image exists, or its size differs.
    """

    def __init__(self, opt: argparse.Namespace, stage: Stage | None = None, phase: str | None = None) -> None:
        super().__init__(opt, stage, phase)
        root = Path(opt.dataroot)
        names = [f"{self.phase}A", f"{self.phase}B"]
        if not all((root / name).is_dir() for name in names):
            raise UserError(image_folder.explain_missing(root, names))
        self.folders = {"A": root / names[0], "B": root / names[1]}
        self.paths, self.ignored = {}, {}
        for domain, folder in self.folders.items():
            self.paths[domain], self.ignored[domain] = image_folder.list_images(folder, opt.max_dataset_size)
        nc = {"A": opt.input_nc, "B": opt.output_nc}
        self.channels = nc if opt.direction == "AtoB" else {"A": nc["B"], "B": nc["A"]}
        # test.py has --translate, for models that can translate one domain alone.
        translated = getattr(opt, "translate", "both") if self.stage is Stage.TEST else "both"
        self.domains = "AB" if translated == "both" else translated
        self.is_training = self.stage is Stage.TRAIN
        self.by_name = {} if self.is_training else {domain: self._by_name(domain) for domain in "AB"}

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
            ignored = self.ignored[domain].total()
            also = f" ({ignored} other files ignored)" if ignored else ""
            parts.append(f"{len(self.paths[domain])} images in {folder}{also}")
        return ", ".join(parts)

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
            path = self.paths[domain][indices[domain]]
            sample[domain] = self.image(path, self.channels[domain], random)
            sample[f"{domain}_paths"] = str(path)
            if not self.is_training:
                match = self.by_name[other].get(self._name(domain, str(path)))
                truth = None if match is None else self.image(self.paths[other][match], self.channels[other], random)
                same_size = truth is not None and truth.shape[-2:] == sample[domain].shape[-2:]
                sample[f"{other}_truth"] = truth if same_size else None
        return sample
