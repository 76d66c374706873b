"""One generator, one way: for weight files that were trained here or elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models import architectures
from models.base_model import BaseModel
from util.errors import UserError
from util.lazy import lazy_import

if TYPE_CHECKING:
    from models import generators
else:
    generators = lazy_import("models.generators")


class TestModel(BaseModel):
    """Loads <epoch>_net_G<model_suffix>.pth and shows `real` and `fake`."""

    __test__ = False  # pytest: not a test
    trainable = False

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        parser.set_defaults(dataset_mode="single")
        parser.add_argument_group("test").add_argument(
            "--model_suffix",
            default="",
            help="which generator: _A loads <epoch>_net_G_A.pth, _B the way back",
        )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        architectures.check_generator_size(opt)
        architectures.refuse_class_ids(opt)
        if "/" in opt.model_suffix or "\\" in opt.model_suffix:
            raise UserError(f"--model_suffix {opt.model_suffix!r} is no part of a file's name")
        if opt.output_nc == 2:
            raise UserError(
                "--output_nc 2: two channels of colour are no image without the lightness: test the run with --model "
                "colorization"
            )
        if opt.model_suffix == "_B":  # a CycleGAN's G_B goes the other way
            opt.input_nc, opt.output_nc = opt.output_nc, opt.input_nc

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        name = f"G{opt.model_suffix}"
        self.network_names = [name]
        self.visual_names = ["real", "fake"]
        self.netG = self.place(generators.from_options(opt))
        setattr(self, f"net{name}", self.netG)  # the name that its file has

    def set_input(self, batch: Mapping[str, Any]) -> None:
        self.real = self.to_device(batch["A"])
        self.image_paths = batch["A_paths"]

    def forward(self) -> None:
        self.fake = self.netG(self.real)
