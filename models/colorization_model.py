"""Colorization of gray images: pix2pix from L to ab of the CIE Lab color space (Isola et al. 2017, section 4)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.base_model import RealImage, Translation
from models.colorization_options import ColorizationOptions
from models.objectives import losses
from models.pix2pix_model import Pix2PixModel
from util import lab


class ColorizationModel(ColorizationOptions, Pix2PixModel):
    """pix2pix whose generator predicts the two color channels (ab) from lightness (L). Visuals are RGB images."""

    can_use_graphs = True

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "real_B_rgb", "fake_B_rgb"]

    def get_current_visuals(self) -> dict[str, Tensor]:
        """real_A (lightness), and real_B and fake_B joined with it to RGB images, all in [-1, 1]."""
        visuals = super().get_current_visuals()
        for name in ("real_B", "fake_B"):
            if hasattr(self, name):
                ab = losses.upcast(getattr(self, name).detach())
                visuals[f"{name}_rgb"] = lab.join_colors(visuals["real_A"], ab)
        return visuals

    def input_channels(self, backwards: bool = False) -> int:
        return 3

    def translate(self, images: Tensor, backwards: bool = False) -> Tensor:
        """Colorize RGB images (N, 3, H, W) in [-1, 1] from their lightness."""
        lightness, _ = lab.split_colors(images)
        return lab.join_colors(lightness, super().translate(lightness, backwards))

    def real_images(self, batch: Mapping[str, Any]) -> list[RealImage]:
        return []  # ab alone is not an image: the ground truths are compared

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """One for each image, with the image's original colors as ground truth."""
        translations = super().translations(batch)
        for translation in translations:
            if "real_B_rgb" in translation.visuals:
                translation.truth["fake_B_rgb"] = translation.visuals["real_B_rgb"]
        return translations
