"""Pairs of images: side by side in the files of <phase>, or under the same name in <phase>A and <phase>B."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data import image_folder
from data.aligned_options import AlignedOptions
from data.base_dataset import BaseDataset, Sample
from data.formats import image_reader
from util.errors import UserError


class AlignedDataset(AlignedOptions, BaseDataset):
    """A and B of a pair have one size, and are scaled, cropped and mirrored alike.

    With --label_nc the input of the translation (A, or B with --direction BtoA) is a map of class ids. In testing the
    folder of the input may be alone: there is no ground truth then.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        root = Path(opt.dataroot)
        joined, folders = root / opt.phase, [root / f"{opt.phase}{domain}" for domain in "AB"]
        self.source = "A" if opt.direction == "AtoB" else "B"
        self.domains = "AB"  # what samples have
        self.pairs: list[tuple[Path, ...]]  # a file for each of those
        self.folders: list[Path] = [joined]
        self.others: list[Path] = []  # without a partner
        lone = folders["AB".index(self.source)]
        # train/A, train/B: a mistake
        self.is_joined = joined.is_dir() and not all((joined / domain).is_dir() for domain in "AB")
        if self.is_joined:
            if opt.label_nc:
                raise UserError(
                    f"--label_nc {opt.label_nc} needs two folders, {folders[0]} and {folders[1]}: class ids and an "
                    f"image can't stand side by side, as in {joined}"
                )
            paths, _ = image_folder.list_images(joined, opt.max_dataset_size)
            self.pairs = [(path, path) for path in paths]
        elif all(folder.is_dir() for folder in folders):
            self.folders = folders
            pairs, self.others = image_folder.match_names(folders)
            self.pairs = pairs[: opt.max_dataset_size]
        elif lone.is_dir() and not opt.is_train:
            self.domains, self.folders = self.source, [lone]
            self.pairs = [(path,) for path in image_folder.list_images(lone, opt.max_dataset_size)[0]]
        else:
            missing = image_folder.explain_missing(root, [folder.name for folder in folders])
            raise UserError(f"{missing}; or {joined}, where each image has A and B side by side")
        nc = {"A": opt.input_nc, "B": opt.output_nc}
        self.channels = nc if opt.direction == "AtoB" else {"A": nc["B"], "B": nc["A"]}

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self) -> Mapping[str, Sequence[Path]]:
        """The images of <phase>, or of the two folders."""
        return {folder.name: [pair[i] for pair in self.pairs] for i, folder in enumerate(self.folders)}

    def summary(self) -> str:
        """How many pairs were found, and how many images without a partner."""
        if len(self.domains) == 1:
            return f"{len(self)} images in {self.folders[0]}, without ground truth"
        found = f"{len(self)} pairs in {' and '.join(map(str, self.folders))}"
        if not self.others:
            return found
        return f"{found} ({len(self.others)} images left out, as no other has their name, such as {self.others[0]})"

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"A", "B": images of a pair, "A_paths", "B_paths": their files}; class ids are uint8 (1, H, W).

        Of a folder alone, there is one of the two.
        """
        paths = dict(zip(self.domains, self.pairs[index], strict=True))
        read_as = {domain: self._read_as(domain) for domain in self.domains}
        settings = f"{read_as}, {self.transform.scaling}"
        pair = self.kept(list(dict.fromkeys(paths.values())), settings, lambda: self._scaled_pair(paths))
        counts = [1 if self._is_label(domain) else self.channels[domain] for domain in self.domains]
        choices = self.transform.choose(random)
        sample: Sample = {f"{domain}_paths": str(path) for domain, path in paths.items()}
        for domain, image in zip(self.domains, pair.split(counts), strict=True):
            finish = self.transform.finish_labels if self._is_label(domain) else self.transform.finish
            sample[domain] = finish(image, choices)
        return sample

    def _is_label(self, domain: str) -> bool:
        return self.opt.label_nc > 0 and domain == self.source

    def _read_as(self, domain: str) -> str:
        return f"{self.opt.label_nc} classes" if self._is_label(domain) else f"{self.channels[domain]} channels"

    def _scaled_pair(self, paths: Mapping[str, Path]) -> Tensor:
        """The images in their final scale, one after the other along the channels: so they are one entry of --cache."""
        if self.is_joined:
            images = self._halves(paths["A"])
        else:
            images = {domain: self._read_side(domain, path) for domain, path in paths.items()}
        sizes = [f"{image.shape[-1]}x{image.shape[-2]}" for image in images.values()]
        if len(set(sizes)) > 1:
            raise image_reader.BadImage(paths["B"], f"has {sizes[1]} pixels, and its pair {paths['A']} has {sizes[0]}")
        first = self.domains[0]
        self.refuse_thin(paths[first], images[first])
        scale, scale_labels = self.transform.scale, self.transform.scale_labels
        return torch.cat([(scale_labels if self._is_label(key) else scale)(image) for key, image in images.items()])

    def _read_side(self, domain: str, path: Path) -> Tensor:
        if self._is_label(domain):
            return image_reader.read_labels(path, self.opt.label_nc)
        return self.decode(path, self.channels[domain])

    def _halves(self, path: Path) -> dict[str, Tensor]:
        """A and B out of an image with both; it is decoded once where both have the same channels."""
        both = {channels: self.decode(path, channels) for channels in set(self.channels.values())}
        left, right = (both[self.channels[domain]] for domain in "AB")
        width = left.shape[-1]
        if width % 2:
            raise image_reader.BadImage(path, f"is {width} pixels wide: A and B side by side have an even width")
        return {"A": left[..., : width // 2], "B": right[..., width // 2 :]}
