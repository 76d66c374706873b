"""pix2pix: a generator that learns from pairs, judged beside its input (Isola et al. 2017)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models import labels
from models.base_model import BaseModel, Phase, Translation
from models.image_pool import ImagePool
from models.networks import discriminators, generators
from models.objectives import losses
from models.pix2pix_options import Pix2PixOptions
from util.errors import UserError


class Pix2PixModel(Pix2PixOptions, BaseModel):
    """G turns A into B; D tells pairs of A and a real B from pairs of A and what G made of it."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "fake_B", "real_B"]
        self.netG = self.add_network("G", generators.from_options(opt), averaged=True)
        if self.is_training_stage:
            self.prepare_training(opt)

    def prepare_training(self, opt: argparse.Namespace) -> None:
        """Make the discriminator and the phases: D first, then G, which is judged by the D of after its step."""
        if opt.lambda_GAN > 0:
            self.netD = self.add_network("D", discriminators.from_options(opt, opt.input_nc + opt.output_nc))
            self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
            self.phases.append(self.discriminator_phase([self.make_and_judge_fake, self.judge_real]))
        self.phases.append(Phase("G", [self.netG], self.adam(self.netG), [self.generate]))

    def discriminator_phase(self, paths: list[Any]) -> Phase:
        """The phase of D on these paths, and on that of the gradient penalty if there is one."""
        if self.opt.gan_mode == "wgangp" and self.opt.lambda_gp > 0:
            paths = [*paths, self.penalize]
        return Phase("D", [self.netD], self.adam(self.netD), paths)

    @property
    def label_nc(self) -> int:
        """How many classes the input is a map of; 0 for an image. An option of the dataset."""
        return getattr(self.opt, "label_nc", 0)

    def set_input(self, batch: Mapping[str, Any]) -> None:
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        if self.is_training_stage and not {"A", "B"} <= batch.keys():
            raise UserError(
                f"--dataset_mode {self.opt.dataset_mode} has no pairs, and --model {self.opt.model} learns from pairs: "
                "use --dataset_mode aligned"
            )
        if A not in batch:  # a folder alone, as --dataset_mode single has it, is the input whatever the direction
            A, B = B, A
        self.real_A = self.to_device(batch[A])
        if self.label_nc:
            self.real_A = labels.one_hot(self.real_A, self.label_nc)
        if B in batch:
            self.real_B = self.to_device(batch[B])
        self.image_paths = batch[f"{A}_paths"]

    def get_current_losses(self) -> dict[str, float]:
        """D_real and D_fake, of which the objective has a half each, are told in full, as the field logs them."""
        numbers = super().get_current_losses()
        return {name: 2 * number if name in ("D_real", "D_fake") else number for name, number in numbers.items()}

    def get_current_visuals(self) -> dict[str, Tensor]:
        visuals = super().get_current_visuals()
        return visuals | ({"real_A": labels.to_colours(visuals["real_A"])} if self.label_nc else {})

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """One for each pair, with its B as the truth."""
        found = super().translations(batch)
        for translation in found:
            if "real_B" in translation.visuals:
                translation.truth["fake_B"] = translation.visuals["real_B"]
        return found

    def forward(self) -> None:
        self.fake_B = self.netG(self.real_A)

    # The objective (equations 1 to 4), of which each term is logged with its weight.

    def beside_input(self, image: Tensor) -> Tensor:
        """What the discriminator looks at: input and image, as channels of one."""
        return torch.cat([self.real_A, losses.in_full(image)], dim=1)

    def logits(self, pair: Tensor) -> Tensor:
        """D's judgement of pairs."""
        return self.netD(pair)

    def gan_loss(self, pair: Tensor, target_is_real: bool) -> Tensor:
        """How far D is from judging so."""
        return losses.gan_loss(self.logits(pair), target_is_real, self.opt.gan_mode)

    def make_and_judge_fake(self) -> dict[str, Tensor]:
        """Make fake_B, for both phases: its graph waits for the phase of G."""
        self.netG.requires_grad_()  # though it is D that learns: nothing of its loss goes there
        self.forward()
        return self.judge_fake()

    def judge_fake(self) -> dict[str, Tensor]:
        """Is D's judgement of generated pairs "fake"?"""
        self.fake_pair = self.query_pool(self.pool, self.beside_input(self.fake_B))
        return {"D_fake": 0.5 * self.gan_loss(self.fake_pair, False)}

    def judge_real(self) -> dict[str, Tensor]:
        """Is D's judgement of real pairs "real"?"""
        return {"D_real": 0.5 * self.gan_loss(self.beside_input(self.real_B), True)}

    def penalize(self) -> dict[str, Tensor]:
        """The gradient penalty of wgangp, between real and generated pairs."""
        penalty = losses.gradient_penalty(self.logits, self.beside_input(self.real_B), self.fake_pair)
        return {"D_gp": self.opt.lambda_gp * penalty}

    def generate(self) -> dict[str, Tensor]:
        """Is fake_B taken for real beside real_A, and near real_B?"""
        opt, terms = self.opt, {}
        # Its graph is that of D's phase; of a batch in parts, only one part's could be kept so long.
        if opt.lambda_GAN == 0 or not self.fake_B.requires_grad:
            self.forward()
        if opt.lambda_GAN > 0:
            terms["G_GAN"] = opt.lambda_GAN * self.gan_loss(self.beside_input(self.fake_B), True)
        if opt.lambda_L1 > 0:
            terms["G_L1"] = opt.lambda_L1 * losses.l1_loss(self.fake_B, self.real_B)
        return terms
