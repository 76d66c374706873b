"""What is exported: one direction of a run."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models import create_model
from models.base_model import BaseModel
from models.labels import one_hot
from models.networks.convolutions import set_conv_algorithm
from models.networks.sizes import DEFAULT_MULTIPLE, pad_to_fit
from options import load_run_options
from util.errors import UserError


@dataclass
class Source:
    """A trained generator, in eval mode, on the CPU, in float32, with direct convolutions."""

    model: BaseModel
    backwards: bool
    direction: str
    """AtoB or BtoA: from images like those of folder A to images like those of folder B, or back."""
    norm: str
    """Statistics of batch norm. running: those of training, as test.py --eval. image: those of the image itself."""

    @property
    def opt(self) -> argparse.Namespace:
        return self.model.opt

    @property
    def network(self) -> nn.Module:
        return self.model.generator(self.backwards)

    @property
    def classes(self) -> int:
        """The number of classes if the input is a map of class ids, else 0."""
        return int(getattr(self.opt, "label_nc", 0))

    @property
    def channels(self) -> int:
        """The number of channels of an input image as it is stored; 1 for class ids."""
        return 1 if self.classes else self.model.input_channels(self.backwards)

    @property
    def multiple(self) -> int:
        """The number of pixels of which the network's sides must be multiples."""
        return int(getattr(self.network, "multiple", DEFAULT_MULTIPLE))

    @property
    def least(self) -> int:
        """The smallest side, in pixels, that the network takes."""
        return int(getattr(self.network, "min_size", 2 * self.multiple))

    @property
    def has_batch_norm(self) -> bool:
        return any(isinstance(module, _BatchNorm) for module in self.network.modules())

    def copied(self) -> Source:
        """The same with networks of its own, to be changed."""
        model = copy.copy(self.model)
        for network in self.model.networks().values():
            own = copy.deepcopy(network).requires_grad_(False)
            names = [name for name, value in vars(model).items() if value is network]  # one network may have two names
            vars(model).update(dict.fromkeys(names, own))
        return replace(self, model=model)

    def in_float64(self) -> Source:
        """The same in float64: the network's mathematics without rounding errors."""
        found = self.copied()
        found.network.double()
        return found

    def to_input(self, images: Tensor) -> Tensor:
        """What the network takes, of images (N, C, H, W) in [-1, 1]; of class ids (N, 1, H, W), one-hot maps."""
        return one_hot(images, self.classes) if self.classes else images

    def translate(self, images: Tensor) -> Tensor:
        """Translations (N, C', H, W) in [-1, 1] of images (N, C, H, W) in [-1, 1], or of class ids."""
        height, width = images.shape[-2:]
        dtype = next(self.network.parameters()).dtype
        padded = pad_to_fit(self.to_input(images).to(dtype), self.network)
        with torch.inference_mode(), _BatchStatistics(self.network, self.norm):
            parts = [self.model.translate(image, self.backwards) for image in padded.split(1)]
        return torch.cat(parts)[..., :height, :width]


class _BatchStatistics:
    """A context in which batch norm uses the statistics of the current image, for norm="image"."""

    def __init__(self, network: nn.Module, norm: str) -> None:
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        self.norms = norms if norm == "image" else []

    def __enter__(self) -> None:
        self.before = [(norm.momentum, norm.num_batches_tracked) for norm in self.norms]
        for norm in self.norms:
            norm.train()
            norm.momentum, norm.num_batches_tracked = 0.0, None  # running statistics do not change

    def __exit__(self, *_: object) -> None:
        for norm, (momentum, count) in zip(self.norms, self.before, strict=True):
            norm.eval()
            norm.momentum, norm.num_batches_tracked = momentum, count


def load_sources(run: Path, epoch: str, direction: str | None, norm: str, options: Mapping[str, Any]) -> list[Source]:
    """The directions of a run to export; by default all that its model has.

    Raises UserError for a run that can't be loaded, or whose model has none or not the one that is asked for.
    """
    opt = load_run_options(run, epoch=epoch, device="cpu", precision="fp32", **options)
    model = create_model(opt)
    model.setup(opt)
    model.eval()
    for network in model.networks().values():
        set_conv_algorithm(network, "direct")
    own = getattr(opt, "direction", "AtoB")  # dcgan has none
    directions = {own: False, "BtoA" if own == "AtoB" else "AtoB": True}
    wanted = {"AtoB": ["AtoB"], "BtoA": ["BtoA"]}.get(direction or "", ["AtoB", "BtoA"])
    sources, refused = [], None
    for name in wanted:
        try:
            model.generator(directions[name])
            sources.append(Source(model, directions[name], name, norm))
        except UserError as error:
            if direction is not None:
                raise
            refused = error
    if not sources and refused:
        raise refused
    return sources
