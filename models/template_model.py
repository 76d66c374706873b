"""A model to copy: rename the file to NAME_model.py and the class to NameModel, and --model name finds it.

It trains as it is: one generator from A to B whose images should look like B to a discriminator, and stay near
their input: SimGAN's objective (Shrivastava et al. 2017, equation 1).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models import image_pool, option_checks
from models.base_model import BaseModel, Phase
from models.networks import discriminators, generators
from models.objectives import losses
from util.arguments import number


class TemplateModel(BaseModel):
    """G turns A into B; D judges images of B."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        # The model's own flags, and defaults that are better for it. Used as opt.lambda_near below.
        parser.set_defaults(no_dropout=True)
        if is_train:
            group = parser.add_argument_group("template")
            group.add_argument("--lambda_near", type=number(float, least=0), default=1.0, help="weight of |G(A) - A|")

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        # What can go wrong, said in a sentence before anything is built.
        option_checks.check_generator_size(opt)
        option_checks.refuse_class_ids(opt)
        if is_train:
            option_checks.check_discriminator_size(opt)
            option_checks.check_equal_channels(opt, "lambda_near")

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        # Networks are attributes net<name>; these are saved, loaded and counted.
        self.network_names = self.averaged_names = ["G"]
        self.visual_names = ["real_A", "fake_B", "real_B"]
        self.netG = self.place(generators.from_options(opt))
        if self.is_train:
            self.network_names = ["G", "D"]
            self.netD = self.place(discriminators.from_options(opt, opt.output_nc))
            self.pool = image_pool.ImagePool(opt.pool_size, seed=opt.seed)
            # A training step: each phase takes one optimizer step on the sum of its paths' losses.
            self.phases = [
                Phase("G", [self.netG], self.adam(self.netG), [self.generate]),
                Phase("D", [self.netD], self.adam(self.netD), [self.judge]),
            ]

    def state_objects(self) -> dict[str, Any]:
        # Whatever else has a state to go on from: name it here, and it is in every checkpoint.
        return super().state_objects() | {"pool": self.pool}

    def set_input(self, batch: Mapping[str, Any]) -> None:
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        self.real_A, self.image_paths = self.to_device(batch[A]), batch[f"{A}_paths"]
        if B in batch:
            self.real_B = self.to_device(batch[B])

    def forward(self) -> None:
        self.fake_B = self.netG(self.real_A)

    def generate(self) -> dict[str, Tensor]:
        """Is fake_B taken for real, and near its input?"""
        self.forward()
        return {
            "G": losses.gan_loss(self.netD(self.fake_B), True, self.opt.gan_mode),
            "near": self.opt.lambda_near * losses.l1_loss(self.fake_B, self.real_A),
        }

    def judge(self) -> dict[str, Tensor]:
        """Tell real_B from generated images."""
        fake = self.query(self.pool, self.fake_B)
        return {"D": losses.discriminator_loss(self.netD, self.real_B, fake, self.opt.gan_mode, self.opt.lambda_gp)}
