"""CycleGAN: unpaired translation with a cycle-consistency loss (Zhu et al. 2017)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from models.base_model import BaseModel, Phase, RealImage, Translation
from models.cycle_gan_options import CycleGANOptions
from models.image_pool import ImagePool
from models.joint_passes import JointPass
from models.networks import discriminators, generators
from models.objectives import augmentation, losses
from util.errors import UserError
from util.stage import Stage


class CycleGANModel(CycleGANOptions, BaseModel):
    """G_A translates A to B, G_B translates B to A. D_A is the discriminator of domain B, D_B of domain A.

    The generators minimize GAN losses and the cycle-consistency losses |G_B(G_A(A)) - A| and |G_A(G_B(B)) - B|, and,
    with --lambda_identity, the identity losses |G_A(B) - B| and |G_B(A) - A|.
    """

    can_use_graphs = True

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "fake_B", "rec_A", "idt_B", "real_B", "fake_A", "rec_B", "idt_A"]
        self.netG_A = self.add_network("G_A", generators.from_options(opt), averaged=True)
        self.netG_B = self.add_network("G_B", generators.from_options(opt, backwards=True), averaged=True)
        if self.is_training_stage:
            self._prepare_training(opt)

    def _prepare_training(self, opt: argparse.Namespace) -> None:
        self.pass_A, self.pass_B = JointPass(self.netG_A), JointPass(self.netG_B)
        paths = [self.loss_A, self.loss_B] if getattr(opt, "joint_passes", "off") == "on" else self._paths(opt)
        networks = [self.netG_A, self.netG_B]
        self.phases = [Phase("G", networks, self.adam(*networks), paths)]
        if opt.lambda_GAN > 0:
            self._prepare_discriminators(opt)

    def _paths(self, opt: argparse.Namespace) -> list[Callable[[], dict[str, Tensor]]]:
        """The paths of the generators; without those whose weights are all 0."""
        weights_of_paths = {
            self.loss_G_A: (opt.lambda_GAN, opt.lambda_color, opt.lambda_A),
            self.loss_G_B: (opt.lambda_GAN, opt.lambda_color, opt.lambda_B),
            # lambda_identity is relative to lambda_A and lambda_B.
            self.loss_idt_A: (opt.lambda_identity * opt.lambda_B,),
            self.loss_idt_B: (opt.lambda_identity * opt.lambda_A,),
        }
        return [path for path, weights in weights_of_paths.items() if any(weights)]

    def _prepare_discriminators(self, opt: argparse.Namespace) -> None:
        self.netD_A = self.add_network("D_A", discriminators.from_options(opt, opt.output_nc))
        self.netD_B = self.add_network("D_B", discriminators.from_options(opt, opt.input_nc))
        self.augment = augmentation.for_discriminators(opt.augment)
        self.fake_A_pool = self.add_state("fake_A_pool", ImagePool(opt.pool_size, seed=opt.seed))
        self.fake_B_pool = self.add_state("fake_B_pool", ImagePool(opt.pool_size, seed=opt.seed + 1))
        networks, paths = [self.netD_A, self.netD_B], [self.loss_D_A, self.loss_D_B]
        queries = [(self.fake_B_pool, lambda: self.fake_B), (self.fake_A_pool, lambda: self.fake_A)]
        self.phases.append(Phase("D", networks, self.adam(*networks), paths, independent=True, queries=queries))

    def notes(self) -> list[str]:
        notes = super().notes()
        if self.is_training_stage and self.opt.lambda_color > 0 and self.has_micro_batches:
            notes.append("note: --lambda_color compares colors for each micro-batch and each rank separately")
        return notes

    def set_input(self, batch: Mapping[str, Any]) -> None:
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        wanted = getattr(self.opt, "translate", "both")  # an option of testing
        if not ({"A", "B"} if wanted == "both" else {wanted}) <= batch.keys():
            raise UserError(
                f"--dataset_mode {self.opt.dataset_mode} has one domain, but --model cycle_gan needs two: translate a "
                "single folder with --model test --model_suffix _A (_B for the other direction)"
            )
        if wanted in ("both", A):
            self.real_A = self.to_device(batch[A])
        if wanted in ("both", B):
            self.real_B = self.to_device(batch[B])
        self.image_paths = batch[f"{A if wanted == 'both' else wanted}_paths"]

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """Two for each sample: A to B (and back), and B to A (and back); only one of them with --translate A or B."""
        translations = []
        for i in range(len(self.image_paths)):
            for source, target in ("AB", "BA"):
                folder, other = (source, target) if self.opt.direction == "AtoB" else (target, source)
                names = [f"real_{source}", f"fake_{target}", f"rec_{source}"]
                visuals = {name: getattr(self, name)[i] for name in names if hasattr(self, name)}
                if names[0] not in visuals:
                    continue
                truth = batch.get(f"{other}_truth", {i: None})[i]
                translations.append(
                    Translation(batch[f"{folder}_paths"][i], visuals, {} if truth is None else {names[1]: truth})
                )
        return translations

    def real_images(self, batch: Mapping[str, Any]) -> list[RealImage]:
        """Those of B for fake_B and those of A for fake_A; none if only one domain is translated."""
        return self.real_images_of(batch, "fake_B", backwards=False) + self.real_images_of(
            batch, "fake_A", backwards=True
        )

    def generator(self, backwards: bool = False) -> nn.Module:
        return self.netG_B if backwards else self.netG_A

    def forward(self) -> None:
        # --no_reconstruction is an option of testing; validation needs translations only.
        reconstruct = self.stage is not Stage.VALIDATE and not getattr(self.opt, "no_reconstruction", False)
        if hasattr(self, "real_A"):
            self.fake_B = self.netG_A(self.real_A)
            if reconstruct:
                self.rec_A = self.netG_B(self.fake_B)
        if hasattr(self, "real_B"):
            self.fake_A = self.netG_B(self.real_B)
            if reconstruct:
                self.rec_B = self.netG_A(self.fake_A)

    # The generators' objective (Zhu et al. 2017, equation 3; section 5.2 for the identity losses), path by path.

    def loss_A(self) -> dict[str, Tensor]:
        """The paths `loss_G_A` and `loss_idt_A` as one path (--joint_passes): G_A translates A and B in one pass."""
        with self.pass_A.of(self.real_A, self.real_B):
            return self.loss_G_A() | self.loss_idt_A()

    def loss_B(self) -> dict[str, Tensor]:
        """The paths `loss_G_B` and `loss_idt_B` as one path (--joint_passes): G_B translates B and A in one pass."""
        with self.pass_B.of(self.real_B, self.real_A):
            return self.loss_G_B() | self.loss_idt_B()

    def loss_G_A(self) -> dict[str, Tensor]:
        """Path A -> B -> A: the GAN loss and color loss of fake_B, the cycle-consistency loss of rec_A."""
        opt, terms = self.opt, {}
        self.fake_B = self.pass_A(self.real_A)
        if opt.lambda_GAN > 0:
            terms["G_A"] = opt.lambda_GAN * losses.gan_loss(self.netD_A(self.augment(self.fake_B)), True, opt.gan_mode)
        if opt.lambda_color > 0:
            terms["color_A"] = opt.lambda_color * losses.color_loss(self.fake_B, self.real_A)
        if opt.lambda_A > 0:
            self.rec_A = self.netG_B(self.fake_B)
            terms["cycle_A"] = opt.lambda_A * losses.l1_loss(self.rec_A, self.real_A)
        return terms

    def loss_G_B(self) -> dict[str, Tensor]:
        """Path B -> A -> B: the GAN loss and color loss of fake_A, the cycle-consistency loss of rec_B."""
        opt, terms = self.opt, {}
        self.fake_A = self.pass_B(self.real_B)
        if opt.lambda_GAN > 0:
            terms["G_B"] = opt.lambda_GAN * losses.gan_loss(self.netD_B(self.augment(self.fake_A)), True, opt.gan_mode)
        if opt.lambda_color > 0:
            terms["color_B"] = opt.lambda_color * losses.color_loss(self.fake_A, self.real_B)
        if opt.lambda_B > 0:
            self.rec_B = self.netG_A(self.fake_A)
            terms["cycle_B"] = opt.lambda_B * losses.l1_loss(self.rec_B, self.real_B)
        return terms

    def loss_idt_A(self) -> dict[str, Tensor]:
        """The identity loss of G_A: it should not change images of B."""
        self.idt_A = self.pass_A(self.real_B)
        weight = self.opt.lambda_identity * self.opt.lambda_B
        return {"idt_A": weight * losses.l1_loss(self.idt_A, self.real_B)}

    def loss_idt_B(self) -> dict[str, Tensor]:
        """The identity loss of G_B: it should not change images of A."""
        self.idt_B = self.pass_B(self.real_A)
        weight = self.opt.lambda_identity * self.opt.lambda_A
        return {"idt_B": weight * losses.l1_loss(self.idt_B, self.real_A)}

    # The discriminators' objective (Zhu et al. 2017, section 7.1), on fakes from before the generators' step.

    def loss_D_A(self) -> dict[str, Tensor]:
        """D_A: real_B is real, images from the pool of fake_B are fake."""
        real, fake = self.augment(self.real_B), self.augment(self.query_pool(self.fake_B_pool, self.fake_B))
        return {"D_A": losses.discriminator_loss(self.netD_A, real, fake, self.opt.gan_mode, self.opt.lambda_gp)}

    def loss_D_B(self) -> dict[str, Tensor]:
        """D_B: real_A is real, images from the pool of fake_A are fake."""
        real, fake = self.augment(self.real_A), self.augment(self.query_pool(self.fake_A_pool, self.fake_A))
        return {"D_B": losses.discriminator_loss(self.netD_B, real, fake, self.opt.gan_mode, self.opt.lambda_gp)}
