"""pix2pix: paired translation with a conditional GAN and an L1 loss (Isola et al. 2017)."""

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
from util import moved
from util.errors import UserError


class Pix2PixModel(Pix2PixOptions, BaseModel):
    """G translates A to B. D is a conditional discriminator: it classifies pairs (A, B) and (A, G(A))."""

    can_use_graphs = True

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "fake_B", "real_B"]
        self.netG = self.add_network("G", generators.from_options(opt), averaged=True)
        if self.is_training_stage:
            self.prepare_training(opt)

    def prepare_training(self, opt: argparse.Namespace) -> None:
        """Create the discriminator and the phases. D is updated first; G's GAN loss uses the updated D."""
        if opt.lambda_GAN > 0:
            self.netD = self.add_network("D", discriminators.from_options(opt, opt.input_nc + opt.output_nc))
            self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
            self.phases.append(self.discriminator_phase([self.forward_and_loss_D_fake, self.loss_D_real]))
        self.phases.append(Phase("G", [self.netG], self.adam(self.netG), [self.loss_G]))

    def discriminator_phase(self, paths: list[Any], *, independent: bool = False) -> Phase:
        """The phase of D with these paths, and with the gradient penalty for wgangp. `independent`: see Phase."""
        if self.opt.gan_mode == "wgangp" and self.opt.lambda_gp > 0:
            paths = [*paths, self.loss_D_gp]
        return Phase("D", [self.netD], self.adam(self.netD), paths, independent)

    @property
    def label_nc(self) -> int:
        """The number of classes if the input is a label map, 0 if it is an image. An option of the dataset."""
        return getattr(self.opt, "label_nc", 0)

    def set_input(self, batch: Mapping[str, Any]) -> None:
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        if self.is_training_stage and not {"A", "B"} <= batch.keys():
            raise UserError(
                f"--dataset_mode {self.opt.dataset_mode} has no pairs, but --model {self.opt.model} needs pairs: use "
                "--dataset_mode aligned"
            )
        if A not in batch:  # --dataset_mode single has one domain, the input in both directions
            A, B = B, A
        self.real_A = self.to_device(batch[A])
        if self.label_nc:
            self.real_A = labels.one_hot(self.real_A, self.label_nc)
        if B in batch:
            self.real_B = self.to_device(batch[B])
        self.image_paths = batch[f"{A}_paths"]

    def get_current_losses(self) -> dict[str, float]:
        """The losses by name. D_real and D_fake are logged without the factor 1/2 of the objective, as is usual."""
        numbers = super().get_current_losses()
        return {name: 2 * number if name in ("D_real", "D_fake") else number for name, number in numbers.items()}

    def get_current_visuals(self) -> dict[str, Tensor]:
        visuals = super().get_current_visuals()
        return visuals | ({"real_A": labels.to_colors(visuals["real_A"])} if self.label_nc else {})

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """One for each pair, with real_B as the ground truth of fake_B."""
        translations = super().translations(batch)
        for translation in translations:
            if "real_B" in translation.visuals:
                translation.truth["fake_B"] = translation.visuals["real_B"]
        return translations

    def forward(self) -> None:
        self.fake_B = self.netG(self.real_A)

    # The objective (Isola et al. 2017, equations 1 to 4).

    def concat_with_input(self, image: Tensor) -> Tensor:
        """The discriminator's input: real_A and `image`, concatenated to (N, input_nc + output_nc, H, W)."""
        return torch.cat([self.real_A, losses.upcast(image)], dim=1)

    def logits(self, pair: Tensor) -> Tensor:
        """D's logits of pairs (N, input_nc + output_nc, H, W)."""
        return self.netD(pair)

    def gan_loss(self, pair: Tensor, target_is_real: bool) -> Tensor:
        """The GAN loss of pairs (N, input_nc + output_nc, H, W)."""
        return losses.gan_loss(self.logits(pair), target_is_real, self.opt.gan_mode)

    def forward_and_loss_D_fake(self) -> dict[str, Tensor]:
        """Generate fake_B for both phases, then compute D_fake. Phase G reuses fake_B and its graph."""
        self.netG.requires_grad_()  # records the graph for phase G; the loss of D does not reach netG
        self.forward()
        return self.loss_D_fake()

    def loss_D_fake(self) -> dict[str, Tensor]:
        """D: generated pairs (from the pool) are fake."""
        self.fake_pair = self.query_pool(self.pool, self.concat_with_input(self.fake_B))
        return {"D_fake": 0.5 * self.gan_loss(self.fake_pair, False)}

    def loss_D_real(self) -> dict[str, Tensor]:
        """D: real pairs are real."""
        return {"D_real": 0.5 * self.gan_loss(self.concat_with_input(self.real_B), True)}

    def loss_D_gp(self) -> dict[str, Tensor]:
        """D: the gradient penalty of wgangp, between real and generated pairs."""
        penalty = losses.gradient_penalty(self.logits, self.concat_with_input(self.real_B), self.fake_pair)
        return {"D_gp": self.opt.lambda_gp * penalty}

    def loss_G(self) -> dict[str, Tensor]:
        """G: the GAN loss of (real_A, fake_B) and the L1 loss between fake_B and real_B."""
        opt, terms = self.opt, {}
        # fake_B has the graph of phase D, except with gradient accumulation, which frees the graphs between phases.
        if opt.lambda_GAN == 0 or not self.fake_B.requires_grad:
            self.forward()
        if opt.lambda_GAN > 0:
            terms["G_GAN"] = opt.lambda_GAN * self.gan_loss(self.concat_with_input(self.fake_B), True)
        if opt.lambda_L1 > 0:
            terms["G_L1"] = opt.lambda_L1 * losses.l1_loss(self.fake_B, self.real_B)
        return terms


__getattr__ = moved.old_names(__name__, refuse_chance_pairs="models.option_checks:refuse_random_pairs")
