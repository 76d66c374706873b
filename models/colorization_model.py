"""Colours for images that have none: pix2pix in CIE Lab, from lightness to colour (Isola et al. 2017, section 4)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.base_model import Translation
from models.colorization_options import ColorizationOptions
from models.objectives import losses
from models.pix2pix_model import Pix2PixModel
from util import lab


class ColorizationModel(ColorizationOptions, Pix2PixModel):
    """G gives two channels of colour to one of lightness; all else is as in pix2pix, but that people are shown RGB."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "real_B_rgb", "fake_B_rgb"]

    def get_current_visuals(self) -> dict[str, Tensor]:
        """real_A, the lightness; with it, the colours of real_B and fake_B as RGB images."""
        visuals = super().get_current_visuals()
        for name in ("real_B", "fake_B"):
            if hasattr(self, name):
                colours = losses.in_full(getattr(self, name).detach())
                visuals[f"{name}_rgb"] = lab.join_colors(visuals["real_A"], colours)
        return visuals

    def input_channels(self, backwards: bool = False) -> int:
        return 3

    def translate(self, images: Tensor, backwards: bool = False) -> Tensor:
        """RGB images colorized from their lightness."""
        lightness, _ = lab.split_colours(images)
        return lab.join_colours(lightness, super().translate(lightness, backwards))

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """One for each image, whose own colours are the truth."""
        found = super().translations(batch)
        for translation in found:
            if "real_B_rgb" in translation.visuals:
                translation.truth["fake_B_rgb"] = translation.visuals["real_B_rgb"]
        return found
