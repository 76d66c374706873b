"""pix2pixHD: pairs in high resolution, by discriminators at several scales (Wang et al. 2018)."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from models.base_model import Phase
from models.image_pool import ImagePool
from models.networks import discriminators
from models.objectives import losses, perceptual_loss
from models.pix2pix_hd_options import Pix2PixHDOptions
from models.pix2pix_model import Pix2PixModel


class Pix2PixHDModel(Pix2PixHDOptions, Pix2PixModel):
    """G turns A into B; --num_D discriminators look at pairs, each at half the size of the one before.

    --netG global is trained at half the size first; then --netG local, which takes its weights over by --init_from
    RUN --init_partial, at the whole size, for --niter_fix_global epochs without changing them.
    """

    def prepare_training(self, opt: argparse.Namespace) -> None:
        """Make the discriminators and the phases: G first; D then sees fakes of before that step."""
        self.netD = self.add_network("D", discriminators.multiscale_from_options(opt, opt.input_nc + opt.output_nc))
        self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
        if opt.lambda_vgg > 0:
            self.perceptual_loss = perceptual_loss.PerceptualLoss(perceptual_loss.load_vgg19()).to(self.device)
        self.phases = [
            Phase("G", [self.netG], self.adam(self.netG), [self.generate]),
            self.discriminator_phase([self.judge_fake, self.judge_real]),
        ]

    @property
    def global_is_fixed(self) -> bool:
        """Whether it is one of the epochs of --niter_fix_global."""
        schedule = self.schedules["G"]
        return schedule.first_epoch + schedule.epoch <= self.opt.niter_fix_global

    # The objective (equations 2 to 5). GAN losses are sums over the scales.

    def logits(self, pair: Tensor) -> Tensor:
        """The judgements of all discriminators, (N, patches), in a row: for the gradient penalty."""
        return torch.cat([features[-1].flatten(1) for features in self.netD(pair)], dim=1)

    def gan_loss(self, pair: Tensor, target_is_real: bool) -> Tensor:
        return self._gan_loss_of(self.netD(pair), target_is_real)

    def _gan_loss_of(self, features: list[list[Tensor]], target_is_real: bool) -> Tensor:
        each = [losses.gan_loss(of_scale[-1], target_is_real, self.opt.gan_mode) for of_scale in features]
        return torch.stack(each).sum()

    def generate(self) -> dict[str, Tensor]:
        """Is fake_B taken for real beside real_A, and do the layers of D see in it what they see in real_B?"""
        opt = self.opt
        if self.global_is_fixed:
            self.netG.model.requires_grad_(False)
        self.forward()
        features = self.netD(self.beside_input(self.fake_B))
        terms = {"G_GAN": self._gan_loss_of(features, True)}
        if opt.lambda_feat > 0:
            with torch.no_grad():
                wanted = self.netD(self.beside_input(self.real_B))
            terms["G_GAN_Feat"] = opt.lambda_feat * losses.feature_matching_loss(features, wanted)
        if opt.lambda_vgg > 0:
            terms["G_VGG"] = opt.lambda_vgg * self.perceptual_loss(self.fake_B, self.real_B)
        return terms
