"""pix2pixHD: paired translation of high-resolution images, with multi-scale discriminators (Wang et al. 2018)."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from torch import Tensor

from models.base_model import Phase
from models.image_pool import ImagePool
from models.networks import discriminators
from models.objectives import losses, perceptual_loss
from models.pix2pix_hd_options import Pix2PixHDOptions
from models.pix2pix_model import Pix2PixModel
from util.image_sizes import ImageSizes
from util.stage import Stage


class Pix2PixHDModel(Pix2PixHDOptions, Pix2PixModel):
    """G translates A to B. D consists of --num_D discriminators of (input, image) pairs at decreasing resolutions.

    Training is coarse to fine: first --netG global at half the resolution, then --netG local at full resolution with
    the global generator's weights (--init_from RUN --init_partial), which stay fixed for --niter_fix_global epochs.
    """

    can_use_graphs = True

    def prepare_training(self, opt: argparse.Namespace) -> None:
        """Create the discriminators and the phases: G is updated first; D then sees fakes from before G's update."""
        self.netD = self.add_network("D", discriminators.multiscale_from_options(opt, opt.input_nc + opt.output_nc))
        self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
        if opt.lambda_vgg > 0:
            self.perceptual_loss = perceptual_loss.PerceptualLoss(perceptual_loss.load_vgg19()).to(self.device)
        self.phases = [
            Phase("G", [self.netG], self.adam(self.netG), [self.loss_G]),
            self.discriminator_phase([self.loss_D_fake, self.loss_D_real], independent=True),
        ]

    def image_sizes(self, stage: Stage) -> ImageSizes:
        """See BaseModel; in training, VGG19 needs images too."""
        found = super().image_sizes(stage)
        if stage is Stage.TRAIN and self.opt.lambda_vgg > 0 and found.smallest < perceptual_loss.MIN_SIZE:
            return replace(found, smallest=perceptual_loss.MIN_SIZE, smallest_for="VGG19 (--lambda_vgg)")
        return found

    @property
    def global_is_fixed(self) -> bool:
        """Whether the global generator's weights are fixed in the current epoch (--niter_fix_global)."""
        schedule = self.schedules["G"]
        return schedule.first_epoch + schedule.epoch <= self.opt.niter_fix_global

    def host_decisions(self) -> bool:
        return self.global_is_fixed

    # The objective (Wang et al. 2018, equations 2 to 5). A GAN loss is the sum over all scales.

    def logits(self, pair: Tensor) -> Tensor:
        """The logits of all discriminators, concatenated to (N, patches), for the gradient penalty."""
        return torch.cat([features[-1].flatten(1) for features in self.netD(pair)], dim=1)

    def gan_loss(self, pair: Tensor, target_is_real: bool) -> Tensor:
        """The GAN loss of pairs (N, input_nc + output_nc, H, W), summed over the scales."""
        return self._gan_loss_from_features(self.netD(pair), target_is_real)

    def _gan_loss_from_features(self, features: list[list[Tensor]], target_is_real: bool) -> Tensor:
        terms = [losses.gan_loss(scale[-1], target_is_real, self.opt.gan_mode) for scale in features]
        return torch.stack(terms).sum()

    def loss_G(self) -> dict[str, Tensor]:
        """G: the GAN loss of (real_A, fake_B), and feature matching and perceptual losses of fake_B and real_B."""
        opt = self.opt
        if self.global_is_fixed:
            self.netG.model.requires_grad_(False)
        self.forward()
        features = self.netD(self.concat_with_input(self.fake_B))
        terms = {"G_GAN": self._gan_loss_from_features(features, True)}
        if opt.lambda_feat > 0:
            with torch.no_grad():
                real_features = self.netD(self.concat_with_input(self.real_B))
            terms["G_GAN_Feat"] = opt.lambda_feat * losses.feature_matching_loss(features, real_features)
        if opt.lambda_vgg > 0:
            terms["G_VGG"] = opt.lambda_vgg * self.perceptual_loss(self.fake_B, self.real_B)
        return terms
