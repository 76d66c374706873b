"""Paired images: side by side in the files of <phase>, or with the same name in <phase>A and <phase>B."""

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
from data.formats.decoding import FACTORS
from data.formats.image_reader import ReadImage
from util.errors import UserError
from util.stage import Stage


class AlignedDataset(AlignedOptions, BaseDataset):
    """A and B of a pair have the same size, and are scaled, cropped and flipped alike.

    With --label_nc the input of the translation (A, or B with --direction BtoA) is a map of class ids. In validation
    and testing, the folder of the input may exist alone: then there is no ground truth.
    """

    is_paired = True

    def __init__(self, opt: argparse.Namespace, stage: Stage | None = None, phase: str | None = None) -> None:
        super().__init__(opt, stage, phase)
        self.source = "A" if opt.direction == "AtoB" else "B"
        self.domains = "AB"  # the domains of a sample
        self.unpaired: list[Path] = []
        self.ignored = image_folder.IgnoredFiles()
        self.is_joined = False  # A and B side by side in one file
        self.folders: list[Path]
        self.pairs: list[tuple[Path, ...]]  # a file for each of the domains
        self._find_pairs(Path(opt.dataroot))
        nc = {"A": opt.input_nc, "B": opt.output_nc}
        self.channels = nc if opt.direction == "AtoB" else {"A": nc["B"], "B": nc["A"]}

    def _find_pairs(self, root: Path) -> None:
        """Find the files of the pairs, in one of the three forms. Raises UserError if no form matches."""
        joined, folders = root / self.phase, [root / f"{self.phase}{domain}" for domain in "AB"]
        source = folders["AB".index(self.source)]
        # Folders train/A and train/B are a common mistake, reported below.
        if joined.is_dir() and not all((joined / domain).is_dir() for domain in "AB"):
            self._find_joined(joined, folders)
        elif all(folder.is_dir() for folder in folders):
            self.folders = folders
            pairs, self.unpaired = image_folder.match_names(folders, self.ignored)
            names = [str(pair[0].relative_to(folders[0])) for pair in pairs]
            chosen = self.selection.choose(names, f"{folders[0]} and {folders[1]}")
            self.pairs = [pairs[i] for i in chosen[: self.opt.max_dataset_size]]
        elif source.is_dir() and self.stage is not Stage.TRAIN:
            self.domains, self.folders = self.source, [source]
            paths, self.ignored = self.list_images(source)
            self.pairs = [(path,) for path in paths]
        else:
            missing = image_folder.explain_missing(root, [folder.name for folder in folders], [joined.name])
            other_form = (
                "" if ": use --dataroot" in missing else f"; or {joined}, where each image has A and B side by side"
            )
            raise UserError(missing + other_form)

    def _find_joined(self, joined: Path, folders: list[Path]) -> None:
        if self.opt.label_nc:
            raise UserError(
                f"--label_nc {self.opt.label_nc} needs two folders, {folders[0]} and {folders[1]}: class ids and an "
                f"image can't be side by side, as in {joined}"
            )
        self.is_joined, self.folders = True, [joined]
        paths, self.ignored = self.list_images(joined)
        self.pairs = [(path, path) for path in paths]

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self) -> Mapping[str, Sequence[Path]]:
        """The images of <phase>, or of the two folders."""
        return {folder.name: [pair[i] for pair in self.pairs] for i, folder in enumerate(self.folders)}

    def summary(self) -> str:
        """The number of pairs and of unpaired images."""
        ignored = self.ignored.describe(self.opt.verbose)
        if len(self.domains) == 1:
            return f"{len(self)} images in {self.folders[0]}{ignored}, without ground truth"
        found = f"{len(self)} pairs in {' and '.join(map(str, self.folders))}{ignored}"
        if not self.unpaired:
            return found
        return f"{found} ({len(self.unpaired)} unpaired images skipped, such as {self.unpaired[0]})"

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"A", "B": images of a pair, "A_paths", "B_paths": their files}; class ids are uint8 (1, H, W).

        If the folder of the input exists alone, only its domain is present.
        """
        paths = dict(zip(self.domains, self.pairs[index], strict=True))
        read_as = {domain: self._read_as(domain) for domain in self.domains}
        settings = f"{read_as}, {self.transform.scaling}"
        pair = self.cached(list(dict.fromkeys(paths.values())), settings, lambda: self._scaled_pair(paths))
        self.check_fit(paths[self.domains[0]], pair)
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
        """The resized images, concatenated along the channels, so that a pair is one entry of the cache."""
        if self.is_joined:
            images = self._halves(paths["A"])
        else:
            images = {domain: self._read_side(domain, path) for domain, path in paths.items()}
        sizes = ["{1}x{0}".format(*image.size) for image in images.values()]
        if len(set(sizes)) > 1:
            raise image_reader.UnreadableImage(
                paths["B"], f"has {sizes[1]} pixels, but its pair {paths['A']} has {sizes[0]}"
            )
        first = self.domains[0]
        self._check_target(paths[first], *images[first].size)
        scale, scale_labels = self.transform.scale_read, self.transform.scale_labels
        return torch.cat(
            [scale_labels(image.pixels) if self._is_label(key) else scale(image) for key, image in images.items()]
        )

    def _read_side(self, domain: str, path: Path) -> ReadImage:
        if self._is_label(domain):
            return ReadImage.whole(image_reader.read_labels(path, self.opt.label_nc))
        return self.decode_to_scale(path, self.channels[domain], self.transform.needed_size)

    def _halves(self, path: Path) -> dict[str, ReadImage]:
        """A and B from an image with both, decoded once for each number of channels."""
        needed = self._needed_of_joined if self.transform.fast_decode else None
        both = {channels: self.decode_to_scale(path, channels, needed) for channels in set(self.channels.values())}
        left, right = (both[self.channels[domain]] for domain in "AB")
        height, width = left.size
        if width % 2:
            raise image_reader.UnreadableImage(path, f"is {width} pixels wide: A and B side by side need an even width")
        middle = width // 2 // left.factor
        parts = {"A": left.pixels[..., :middle], "B": right.pixels[..., middle:]}
        return {domain: ReadImage(part, (height, width // 2), left.factor) for domain, part in parts.items()}

    def _needed_of_joined(self, height: int, width: int) -> tuple[int, int]:
        """The size at which to decode A and B side by side: the full size if a reduced pixel could cover both."""
        return (height, width) if width % (2 * max(FACTORS)) else self.scaled_size(height, width)

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """See BaseDataset. If a file contains both A and B, they are scaled separately."""
        if not self.is_joined:
            return super().scaled_size(height, width)
        height, width = self.transform.target_size(height, width // 2)
        return height, 2 * width
