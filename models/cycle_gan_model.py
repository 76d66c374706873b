"""CycleGAN: two generators that undo each other, each judged by a discriminator (Zhu et al. 2017)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.base_model import BaseModel, Phase, Translation
from models.cycle_gan_options import CycleGANOptions
from models.image_pool import ImagePool
from models.networks import discriminators, generators
from models.objectives import augmentation, losses
from util.errors import UserError


class CycleGANModel(CycleGANOptions, BaseModel):
    """G_A turns A into B, G_B turns B into A. D_A judges images of B, D_B images of A."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "fake_B", "rec_A", "idt_B", "real_B", "fake_A", "rec_B", "idt_A"]
        self.netG_A = self.add_network("G_A", generators.from_options(opt), averaged=True)
        self.netG_B = self.add_network("G_B", generators.from_options(opt, backwards=True), averaged=True)
        if self.is_training_stage:
            self._prepare_training(opt)

    def _prepare_training(self, opt: argparse.Namespace) -> None:
        paths = []
        if opt.lambda_GAN + opt.lambda_A + opt.lambda_color > 0:
            paths.append(self.path_A)
        if opt.lambda_GAN + opt.lambda_B + opt.lambda_color > 0:
            paths.append(self.path_B)
        # lambda_identity is relative to the cycle weights, so a domain whose cycle weighs 0 has no identity term.
        if opt.lambda_identity * opt.lambda_B > 0:
            paths.append(self.identity_B)
        if opt.lambda_identity * opt.lambda_A > 0:
            paths.append(self.identity_A)
        networks = [self.netG_A, self.netG_B]
        self.phases = [Phase("G", networks, self.adam(*networks), paths)]
        if opt.lambda_GAN > 0:
            self.netD_A = self.add_network("D_A", discriminators.from_options(opt, opt.output_nc))
            self.netD_B = self.add_network("D_B", discriminators.from_options(opt, opt.input_nc))
            self.augment = augmentation.for_discriminators(opt.augment)
            self.fake_A_pool = self.add_state("fake_A_pool", ImagePool(opt.pool_size, seed=opt.seed))
            self.fake_B_pool = self.add_state("fake_B_pool", ImagePool(opt.pool_size, seed=opt.seed + 1))
            networks = [self.netD_A, self.netD_B]
            self.phases.append(Phase("D", networks, self.adam(*networks), [self.judge_B, self.judge_A]))

    def notes(self) -> list[str]:
        notes = super().notes()
        if self.is_training_stage and self.opt.lambda_color > 0 and self.has_micro_batches:
            notes.append("note: --lambda_color compares colors within each micro-batch, or process, separately")
        return notes

    def set_input(self, batch: Mapping[str, Any]) -> None:
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        wanted = getattr(self.opt, "translate", "both")  # a flag of testing
        if not ({"A", "B"} if wanted == "both" else {wanted}) <= batch.keys():
            raise UserError(
                f"--dataset_mode {self.opt.dataset_mode} has one domain, and --model cycle_gan takes two: translate a "
                "single folder with --model test --model_suffix _A (_B for the way back)"
            )
        if wanted in ("both", A):
            self.real_A = self.to_device(batch[A])
        if wanted in ("both", B):
            self.real_B = self.to_device(batch[B])
        self.image_paths = batch[f"{A if wanted == 'both' else wanted}_paths"]

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """Two for each sample: from A to B and back, and from B to A and back; as far as they were asked for."""
        found = []
        for i in range(len(self.image_paths)):
            for source, target in ("AB", "BA"):
                folder, other = (source, target) if self.opt.direction == "AtoB" else (target, source)
                names = [f"real_{source}", f"fake_{target}", f"rec_{source}"]
                visuals = {name: getattr(self, name)[i] for name in names if hasattr(self, name)}
                if names[0] not in visuals:
                    continue
                truth = batch.get(f"{other}_truth", {i: None})[i]
                found.append(
                    Translation(batch[f"{folder}_paths"][i], visuals, {} if truth is None else {names[1]: truth})
                )
        return found

    def generator(self, backwards: bool = False) -> nn.Module:
        return self.netG_B if backwards else self.netG_A

    def forward(self) -> None:
        back = not getattr(self.opt, "no_reconstruction", False)  # a flag of testing
        if hasattr(self, "real_A"):
            self.fake_B = self.netG_A(self.real_A)
            if back:
                self.rec_A = self.netG_B(self.fake_B)
        if hasattr(self, "real_B"):
            self.fake_A = self.netG_B(self.real_B)
            if back:
                self.rec_B = self.netG_A(self.fake_A)

    # The generators' objective (equation 3, and section 5.2 for the identity terms), path by path.

    def path_A(self) -> dict[str, Tensor]:
        """A -> B -> A: is fake_B taken for real, has it real_A's colors, does rec_A match real_A?"""
        opt, terms = self.opt, {}
        self.fake_B = self.netG_A(self.real_A)
        if opt.lambda_GAN > 0:
            terms["G_A"] = opt.lambda_GAN * losses.gan_loss(self.netD_A(self.augment(self.fake_B)), True, opt.gan_mode)
        if opt.lambda_color > 0:
            terms["color_A"] = opt.lambda_color * losses.color_loss(self.fake_B, self.real_A)
        if opt.lambda_A > 0:
            self.rec_A = self.netG_B(self.fake_B)
            terms["cycle_A"] = opt.lambda_A * losses.l1_loss(self.rec_A, self.real_A)
        return terms

    def path_B(self) -> dict[str, Tensor]:
        """B -> A -> B: is fake_A taken for real, has it real_B's colors, does rec_B match real_B?"""
        opt, terms = self.opt, {}
        self.fake_A = self.netG_B(self.real_B)
        if opt.lambda_GAN > 0:
            terms["G_B"] = opt.lambda_GAN * losses.gan_loss(self.netD_B(self.augment(self.fake_A)), True, opt.gan_mode)
        if opt.lambda_color > 0:
            terms["color_B"] = opt.lambda_color * losses.color_loss(self.fake_A, self.real_B)
        if opt.lambda_B > 0:
            self.rec_B = self.netG_A(self.fake_A)
            terms["cycle_B"] = opt.lambda_B * losses.l1_loss(self.rec_B, self.real_B)
        return terms

    def identity_B(self) -> dict[str, Tensor]:
        """G_A leaves images of B as they are."""
        self.idt_A = self.netG_A(self.real_B)
        weight = self.opt.lambda_identity * self.opt.lambda_B
        return {"idt_A": weight * losses.l1_loss(self.idt_A, self.real_B)}

    def identity_A(self) -> dict[str, Tensor]:
        """G_B leaves images of A as they are."""
        self.idt_B = self.netG_B(self.real_A)
        weight = self.opt.lambda_identity * self.opt.lambda_A
        return {"idt_B": weight * losses.l1_loss(self.idt_B, self.real_A)}

    # The discriminators' objective (section 7.1), on fakes made before the generators' step.

    def judge_B(self) -> dict[str, Tensor]:
        """D_A tells real_B from images out of the pool."""
        real, fake = self.augment(self.real_B), self.augment(self.query_pool(self.fake_B_pool, self.fake_B))
        return {"D_A": losses.discriminator_loss(self.netD_A, real, fake, self.opt.gan_mode, self.opt.lambda_gp)}

    def judge_A(self) -> dict[str, Tensor]:
        """D_B tells real_A from images out of the pool."""
        real, fake = self.augment(self.real_A), self.augment(self.query_pool(self.fake_A_pool, self.fake_A))
        return {"D_B": losses.discriminator_loss(self.netD_B, real, fake, self.opt.gan_mode, self.opt.lambda_gp)}
