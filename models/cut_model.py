"""CUT and FastCUT: one generator, held to its input patch by patch by contrast (Park et al. 2020)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from models.base_model import BaseModel, Phase, Translation
from models.cut_options import CUTOptions
from models.image_pool import ImagePool
from models.networks import discriminators, generators
from models.networks.generators import ResnetGenerator
from models.objectives import contrastive, losses
from util.errors import UserError


class CUTModel(CUTOptions, BaseModel):
    """G turns A into B, D judges images of B, F projects the generator's features for the contrast.

    The contrast is between a patch of the translation, seen by the first half of G, and patches of the same input
    image. CUT also translates images of B, whose contrast with themselves takes the place of an identity loss;
    FastCUT does not, and mirrors the generator's input in half of the steps.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "fake_B"]
        # finish_options lets no other kind be trained.
        self.netG = cast(ResnetGenerator, self.add_network("G", generators.from_options(opt), averaged=True))
        if self.is_training_stage:
            self._prepare_training(opt)

    def _prepare_training(self, opt: argparse.Namespace) -> None:
        self.visual_names = ["real_A", "fake_B", "real_B"]
        learning: list[torch.nn.Module] = [self.netG]
        paths = [self.generate]
        if opt.lambda_NCE > 0:
            projection = contrastive.PatchProjection(self.netG.feature_channels, width=opt.netF_nc)
            self.netF = self.add_network("F", projection)
            learning.append(self.netF)
            if opt.nce_idt:
                self.visual_names.append("idt_B")
                paths.append(self.identity)
        if opt.lambda_GAN > 0:
            self.netD = self.add_network("D", discriminators.from_options(opt, opt.output_nc))
            self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
            self.phases.append(Phase("D", [self.netD], self.adam(self.netD), [self.judge]))
        # One Adam for G and F does what two with the same rate would.
        self.phases.append(Phase("G", learning, self.adam(*learning), paths))

    def set_input(self, batch: Mapping[str, Any]) -> None:
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        if not {A, B if self.is_training_stage else A} <= batch.keys():
            raise UserError(
                f"--dataset_mode {self.opt.dataset_mode} has one domain, and --model cut takes two: translate a single "
                "folder with --model test"
            )
        self.real_A, self.image_paths = self.to_device(batch[A]), batch[f"{A}_paths"]
        if self.is_training_stage:
            self.real_B = self.to_device(batch[B])
            self.is_mirrored = self.opt.flip_equivariance and bool(torch.rand(()) < 0.5)
            self.made: tuple[Tensor, Tensor, contrastive.Features] | None = None

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        truths = batch.get("B_truth" if self.opt.direction == "AtoB" else "A_truth", [None] * len(self.image_paths))
        found = super().translations(batch)
        for translation, truth in zip(found, truths, strict=True):
            translation.truth = {} if truth is None else {"fake_B": truth}
        return found

    def forward(self) -> None:
        self.fake_B = self.netG(self.real_A)

    def mirror(self, images: Tensor) -> Tensor:
        """Images or features with left and right exchanged, if that is so in this step; its own inverse."""
        return images.flip(-1) if self.is_mirrored else images

    def translate(self) -> tuple[Tensor, contrastive.Features]:
        """The (mirrored) real_A translated, and the features that the generator had of it.

        What the discriminator's phase had made, the generator's takes over with its graph, as long as the images
        are the same: the discriminator's step leaves the generator as it is.
        """
        if self.made is None or self.made[0] is not self.real_A:
            self.netG.requires_grad_()
            self.made = (self.real_A, *self.netG.translate(self.mirror(self.real_A)))
            self.fake_B = self.mirror(self.made[1]).detach()
        return self.made[1:]

    # The objective (equations 1 and 5), the discriminator first.

    def judge(self) -> dict[str, Tensor]:
        """D tells real_B from translations."""
        fake = self.query_pool(self.pool, self.translate()[0])
        return {"D": losses.discriminator_loss(self.netD, self.real_B, fake, self.opt.gan_mode, self.opt.lambda_gp)}

    def generate(self) -> dict[str, Tensor]:
        """Is the translation taken for real, and is each of its patches like that of real_A in its place?"""
        opt, terms = self.opt, {}
        fake, features = self.translate()
        self.made = None  # its graph is used up by this path
        if opt.lambda_GAN > 0:
            terms["G_GAN"] = opt.lambda_GAN * losses.gan_loss(self.netD(fake), True, opt.gan_mode)
        if opt.lambda_NCE > 0:
            terms["NCE"] = self.contrast_weight * self.contrast(self.real_A, features, fake)
        return terms

    def identity(self) -> dict[str, Tensor]:
        """An image of B, translated, keeps its patches."""
        idt_B, features = self.netG.translate(self.mirror(self.real_B))
        self.idt_B = self.mirror(idt_B).detach()
        return {"NCE_Y": self.contrast_weight * self.contrast(self.real_B, features, idt_B)}

    @property
    def contrast_weight(self) -> float:
        """lambda_NCE is that of both contrasts' mean, as in the authors' code; the paper has their sum."""
        return float(self.opt.lambda_NCE) / (2 if self.opt.nce_idt else 1)

    def contrast(self, source: Tensor, features: contrastive.Features, made: Tensor) -> Tensor:
        """The patchwise contrast of a (mirrored) translation with its source, a mean over the feature maps.

        `features` are those of the generator's pass over the (mirrored) source. They serve as the keys, where it
        was not mirrored; no second pass is needed then, as the keys are held fixed.
        """
        with torch.no_grad():
            keys = self.netG.encode(source) if self.is_mirrored else features
            positions = contrastive.draw_positions(keys, self.opt.num_patches)
            keys = self.netF(keys, positions)
        queries = {name: self.mirror(values) for name, values in self.netG.encode(made).items()}
        queries = self.netF(queries, positions)
        each = [contrastive.patch_nce_loss(queries[name], keys[name], self.opt.nce_T) for name in keys]
        return torch.stack(each).mean()
