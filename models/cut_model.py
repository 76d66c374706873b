"""CUT and FastCUT: one-sided unpaired translation with a patchwise contrastive loss, PatchNCE (Park et al. 2020)."""

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
    """G translates A to B. D is the discriminator of domain B. F projects patches of G's encoder features.

    PatchNCE maximizes the mutual information of corresponding patches: a patch of the translation is the query, the
    patch of the input at the same place its positive, other patches of the same input its negatives. CUT also applies
    PatchNCE to translations of images of B, in the role of an identity loss. FastCUT does not, and flips the
    generator's input horizontally in half of the steps (flip equivariance).
    """

    can_use_graphs = True

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["real_A", "fake_B"]
        # finish_options refuses to train our other generators.
        self.netG = cast(ResnetGenerator, self.add_network("G", generators.from_options(opt), averaged=True))
        if self.is_training_stage:
            if not hasattr(self.netG, "forward_with_features"):
                raise UserError(f"--netG {opt.netG} has no forward_with_features, which --model cut trains with")
            self._prepare_training(opt)

    def _prepare_training(self, opt: argparse.Namespace) -> None:
        self.visual_names = ["real_A", "fake_B", "real_B"]
        trained: list[torch.nn.Module] = [self.netG]
        paths = [self.loss_G]
        if opt.lambda_NCE > 0:
            projection = contrastive.PatchProjection(self.netG.feature_channels, width=opt.netF_nc)
            self.netF = self.add_network("F", projection)
            trained.append(self.netF)
            if opt.nce_idt:
                self.visual_names.append("idt_B")
                paths.append(self.loss_NCE_Y)
        if opt.lambda_GAN > 0:
            self.netD = self.add_network("D", discriminators.from_options(opt, opt.output_nc))
            self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
            self.phases.append(Phase("D", [self.netD], self.adam(self.netD), [self.loss_D]))
        # One Adam for both G and F is equivalent to two with the same settings.
        self.phases.append(Phase("G", trained, self.adam(*trained), paths))

    def set_input(self, batch: Mapping[str, Any]) -> None:
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        if not {A, B if self.is_training_stage else A} <= batch.keys():
            raise UserError(
                f"--dataset_mode {self.opt.dataset_mode} has one domain, but --model cut needs two: translate a single "
                "folder with --model test"
            )
        self.real_A, self.image_paths = self.to_device(batch[A]), batch[f"{A}_paths"]
        if self.is_training_stage:
            self.real_B = self.to_device(batch[B])
            self.is_flipped = self.opt.flip_equivariance and bool(torch.rand(()) < 0.5)
            self.cached: tuple[Tensor, Tensor, contrastive.Features] | None = None  # real_A, its fake, features

    def host_decisions(self) -> bool:
        return bool(self.is_flipped)

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """One for each source image, with its ground truth if the batch has it."""
        truths = batch.get("B_truth" if self.opt.direction == "AtoB" else "A_truth", [None] * len(self.image_paths))
        translations = super().translations(batch)
        for translation, truth in zip(translations, truths, strict=True):
            translation.truth = {} if truth is None else {"fake_B": truth}
        return translations

    def forward(self) -> None:
        self.fake_B = self.netG(self.real_A)

    def flip(self, images: Tensor) -> Tensor:
        """Flip images or features (N, C, H, W) horizontally if this step is flipped. It is its own inverse."""
        return images.flip(-1) if self.is_flipped else images

    def translate_with_features(self) -> tuple[Tensor, contrastive.Features]:
        """The translation of the (flipped) real_A, and the generator's features of real_A.

        Phase G reuses the result and graph of phase D if real_A is the same, since D's step leaves G unchanged.
        """
        if self.cached is None or self.cached[0] is not self.real_A:
            self.netG.requires_grad_()
            self.cached = (self.real_A, *self.netG.forward_with_features(self.flip(self.real_A)))
            self.fake_B = self.flip(self.cached[1]).detach()
        return self.cached[1:]

    # The objective (Park et al. 2020, equations 1 and 5). The discriminator is updated first.

    def loss_D(self) -> dict[str, Tensor]:
        """D: real_B is real, translations are fake."""
        self.cached = None  # of a capture (--cuda_graph) that failed after the translation, without having computed it
        fake = self.query_pool(self.pool, self.translate_with_features()[0])
        return {"D": losses.discriminator_loss(self.netD, self.real_B, fake, self.opt.gan_mode, self.opt.lambda_gp)}

    def loss_G(self) -> dict[str, Tensor]:
        """G: the GAN loss of the translation, and PatchNCE between the translation and real_A."""
        opt, terms = self.opt, {}
        fake, features = self.translate_with_features()
        self.cached = None  # the backward pass of this path frees its graph
        if opt.lambda_GAN > 0:
            terms["G_GAN"] = opt.lambda_GAN * losses.gan_loss(self.netD(fake), True, opt.gan_mode)
        if opt.lambda_NCE > 0:
            terms["NCE"] = self.nce_weight * self.nce_loss(self.real_A, features, fake)
        return terms

    def loss_NCE_Y(self) -> dict[str, Tensor]:
        """PatchNCE between real_B and its translation: the identity loss of CUT."""
        idt_B, features = self.netG.forward_with_features(self.flip(self.real_B))
        self.idt_B = self.flip(idt_B).detach()
        return {"NCE_Y": self.nce_weight * self.nce_loss(self.real_B, features, idt_B)}

    @property
    def nce_weight(self) -> float:
        """The weight of each PatchNCE loss. lambda_NCE weights the mean of both, as in the authors' code.

        The paper weights their sum.
        """
        return float(self.opt.lambda_NCE) / (2 if self.opt.nce_idt else 1)

    def nce_loss(self, source: Tensor, features: contrastive.Features, fake: Tensor) -> Tensor:
        """PatchNCE between `source` (N, C, H, W) and its (flipped) translation `fake`: a mean over the feature maps.

        `features` are the generator's features of the (flipped) source. In a step without flip they are the keys:
        the source needs no second pass, since no gradient flows into the keys.
        """
        with torch.no_grad():
            keys = self.netG.encode(source) if self.is_flipped else features
            positions = contrastive.draw_positions(keys, self.opt.num_patches)
            keys = self.netF(keys, positions)
        queries = {name: self.flip(values) for name, values in self.netG.encode(fake).items()}
        queries = self.netF(queries, positions)
        terms = [contrastive.patch_nce_loss(queries[name], keys[name], self.opt.nce_T) for name in keys]
        return torch.stack(terms).mean()
