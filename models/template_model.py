"""A model to copy: rename the file to NAME_model.py and the class to NameModel, then train with --model NAME.

It works as it is: a generator translates A to B, trained with the objective of SimGAN (Shrivastava et al. 2017,
equation 1): a GAN loss, and an L1 loss that keeps the translation near its input.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models import option_checks
from models.base_model import BaseModel, Phase
from models.image_pool import ImagePool
from models.networks import discriminators, generators
from models.objectives import losses
from util.arguments import number


class TemplateModel(BaseModel):
    """G translates A to B. D is the discriminator of domain B."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        # The model's own defaults and options. The model reads an option as self.opt.<name>.
        parser.set_defaults(no_dropout=True)
        if is_train:
            group = parser.add_argument_group("template")
            group.add_argument("--lambda_near", type=number(float, least=0), default=1.0, help="weight of |G(A) - A|")
            # A new option is one line here, for example:
            # group.add_argument("--lambda_color", type=number(float, least=0), default=1.0, help="weight of colors")

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        # Checks before anything is built. They raise util.errors.UserError: the option, its value, and a remedy.
        option_checks.check_generator_size(opt)
        option_checks.refuse_class_ids(opt)
        if is_train:
            option_checks.check_discriminator_size(opt)
            option_checks.check_equal_channels(opt, "lambda_near")

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        # The images to display: names of attributes that set_input, forward or a loss function assigns.
        self.visual_names = ["real_A", "fake_B", "real_B"]
        # add_network initializes a network and moves it to the device; checkpoints save and restore it.
        self.netG = self.add_network("G", generators.from_options(opt), averaged=True)
        if self.is_training_stage:
            self.netD = self.add_network("D", discriminators.from_options(opt, opt.output_nc))
            # Other objects with state_dict and load_state_dict are registered too, so that a resumed run restores them.
            self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
            # A training step runs the phases in order. Each takes one optimizer step on the sum of its loss terms.
            # loss_D does not run netG: with several processes, it is computed while G's gradients are averaged.
            self.phases = [
                Phase("G", [self.netG], self.adam(self.netG), [self.loss_G]),
                Phase("D", [self.netD], self.adam(self.netD), [self.loss_D], independent=True),
            ]

    def set_input(self, batch: Mapping[str, Any]) -> None:
        """Store a batch: images `A` and `B` (N, C, H, W) in [-1, 1], and their paths. Test batches may lack `B`."""
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        self.real_A, self.image_paths = self.to_device(batch[A]), batch[f"{A}_paths"]
        if B in batch:
            self.real_B = self.to_device(batch[B])

    def forward(self) -> None:
        """Translate. Testing calls this; in training, loss_G does."""
        self.fake_B = self.netG(self.real_A)

    def loss_G(self) -> dict[str, Tensor]:
        """G: the GAN loss of fake_B, and the L1 loss between fake_B and real_A."""
        self.forward()
        # A new loss is one line here: a name, and a scalar times its weight. It is minimized, logged and plotted:
        # "color": self.opt.lambda_color * losses.color_loss(self.fake_B, self.real_A),
        return {
            "G": losses.gan_loss(self.netD(self.fake_B), True, self.opt.gan_mode),
            "near": self.opt.lambda_near * losses.l1_loss(self.fake_B, self.real_A),
        }

    def loss_D(self) -> dict[str, Tensor]:
        """D: real_B is real, translations (from the pool) are fake."""
        fake = self.query_pool(self.pool, self.fake_B)
        return {"D": losses.discriminator_loss(self.netD, self.real_B, fake, self.opt.gan_mode, self.opt.lambda_gp)}
