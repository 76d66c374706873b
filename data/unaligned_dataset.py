"""Two folders of images that have nothing to do with each other: <phase>A and <phase>B."""

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


class UnalignedDataset(UnalignedOptions, BaseDataset):
    """As long as the longer folder. A is taken in turn; B at random, or in turn with --serial_batches.

    In testing a sample also has, as A_truth and B_truth, the image of the other folder with the same name, which
    is what the other image should be translated to; None where there is none, or none of that size.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        root = Path(opt.dataroot)
        names = [f"{opt.phase}A", f"{opt.phase}B"]
        if not all((root / name).is_dir() for name in names):
            raise UserError(image_folder.explain_missing(root, names))
        self.folders = {"A": root / names[0], "B": root / names[1]}
        self.paths, self.ignored = {}, {}
        for domain, folder in self.folders.items():
            self.paths[domain], self.ignored[domain] = image_folder.list_images(folder, opt.max_dataset_size)
        nc = {"A": opt.input_nc, "B": opt.output_nc}
        self.channels = nc if opt.direction == "AtoB" else {"A": nc["B"], "B": nc["A"]}
        # A model that can translate one of the two alone has --translate.
        wanted = getattr(opt, "translate", "both")
        self.domains = "AB" if wanted == "both" or opt.is_train else wanted
        self.by_name = {} if opt.is_train else {domain: self._by_name(domain) for domain in "AB"}

    def _by_name(self, domain: str) -> dict[str, int]:
        """The place of each image by its name below the folder, without the extension."""
        names = self.paths[domain].names()
        return {self._name(domain, name): place for place, name in enumerate(names)}

    def _name(self, domain: str, path: str) -> str:
        return os.path.splitext(path)[0][len(str(self.folders[domain])) + 1 :]

    def __len__(self) -> int:
        return max(len(self.paths[domain]) for domain in self.domains)

    def files(self) -> Mapping[str, Sequence[Path]]:
        """The images of the two folders."""
        return {folder.name: self.paths[domain] for domain, folder in self.folders.items()}

    def summary(self) -> str:
        """What was found in the two folders."""
        parts = []
        for domain, folder in self.folders.items():
            ignored = self.ignored[domain].total()
            also = f" ({ignored} other files ignored)" if ignored else ""
            parts.append(f"{len(self.paths[domain])} images in {folder}{also}")
        return ", ".join(parts)

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"A", "B": images, "A_paths", "B_paths": their files}, and in testing "A_truth", "B_truth".

        With --translate there is one of the two, and the truth of the other.
        """
        in_turn = self.opt.serial_batches or not self.opt.is_train
        places = {
            "A": index % len(self.paths["A"]),
            "B": index % len(self.paths["B"]) if in_turn else int(random.integers(len(self.paths["B"]))),
        }
        sample: Sample = {}
        for domain in self.domains:
            other = "B" if domain == "A" else "A"
            path = self.paths[domain][places[domain]]
            sample[domain] = self.image(path, self.channels[domain], random)
            sample[f"{domain}_paths"] = str(path)
            if not self.opt.is_train:
                place = self.by_name[other].get(self._name(domain, str(path)))
                partner = None if place is None else self.paths[other][place]
                truth = None if partner is None else self.image(partner, self.channels[other], random)
                same_size = truth is not None and truth.shape[-2:] == sample[domain].shape[-2:]
                sample[f"{other}_truth"] = truth if same_size else None
        return sample
