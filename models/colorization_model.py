"""Colours for images that have none: pix2pix in CIE Lab, from lightness to colour (Isola et al. 2017, section 4)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.base_model import Translation
from models.pix2pix_model import Pix2PixModel
from util.errors import UserError
from util.lazy import lazy_import

if TYPE_CHECKING:
    from torch import Tensor

    from models import losses
    from util import lab
else:
    losses, lab = lazy_import("models.losses", "util.lab")


OF_WHOLE_IMAGES = ("aligned", "single", "template", "unaligned")  # datasets


class ColorizationModel(Pix2PixModel):
    """G gives two channels of colour to one of lightness; all else is as in pix2pix, but that people are shown RGB."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        Pix2PixModel.add_options(parser, is_train)
        parser.set_defaults(dataset_mode="colorization", input_nc=1, output_nc=2)

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.dataset_mode in OF_WHOLE_IMAGES:
            raise UserError(
                f"--dataset_mode {opt.dataset_mode} leaves lightness and colours together, and --model colorization "
                "takes them apart: use --dataset_mode colorization"
            )
        Pix2PixModel.finish_options(opt, is_train)

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "real_B_rgb", "fake_B_rgb"]

    def get_current_visuals(self) -> dict[str, Tensor]:
        """real_A, the lightness; with it, the colours of real_B and fake_B as RGB images."""
        visuals = super().get_current_visuals()
        for name in ("real_B", "fake_B"):
            if hasattr(self, name):
                colours = losses.in_full(getattr(self, name).detach())
                visuals[f"{name}_rgb"] = lab.join_colours(visuals["real_A"], colours)
        return visuals

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """One for each image, whose own colours are the truth."""
        found = super().translations(batch)
        for translation in found:
            if "real_B_rgb" in translation.visuals:
                translation.truth["fake_B_rgb"] = translation.visuals["real_B_rgb"]
        return found
