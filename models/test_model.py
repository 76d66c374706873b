"""Translation in one direction with one generator, from a weight file trained here or elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from models.base_model import BaseModel
from models.networks import generators
from models.test_options import TestOptions


class TestModel(TestOptions, BaseModel):
    """Loads <epoch>_net_G<model_suffix>.pth; its visuals are `real` and `fake`."""

    __test__ = False  # pytest must not collect it

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real", "fake"]
        self.netG = self.add_network(f"G{opt.model_suffix}", generators.from_options(opt))

    def set_input(self, batch: Mapping[str, Any]) -> None:
        self.real = self.to_device(batch["A"])
        self.image_paths = batch["A_paths"]

    def forward(self) -> None:
        self.fake = self.netG(self.real)
