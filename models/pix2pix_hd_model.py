"""pix2pixHD: pairs in high resolution, by discriminators at several scales (Wang et al. 2018)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from models import architectures
from models.base_model import Phase
from models.pix2pix_model import Pix2PixModel, refuse_chance_pairs
from util.arguments import builds_networks, number
from util.errors import UserError
from util.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models import discriminators, losses, perceptual_loss
    from util import image_pool
else:
    torch, discriminators, losses, perceptual_loss, image_pool = lazy_import(
        "torch",
        "models.discriminators",
        "models.losses",
        "models.perceptual_loss",
        "util.image_pool",
    )


class Pix2PixHDModel(Pix2PixModel):
    """G turns A into B; --num_D discriminators look at pairs, each at half the size of the one before.

    --netG global is trained at half the size first; then --netG local, which takes its weights over by --init_from
    RUN --init_partial, at the whole size, for --niter_fix_global epochs without changing them.
    """

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        parser.set_defaults(netG="global", norm="instance", dataset_mode="aligned", no_dropout=True)
        if is_train:
            parser.set_defaults(pool_size=0)
            weight = number(float, least=0)
            group = parser.add_argument_group("pix2pix_hd")
            group.add_argument(
                "--lambda_feat", type=weight, default=10.0, help="weight of the feature matching loss; 0: none"
            )
            group.add_argument(
                "--lambda_vgg",
                type=weight,
                default=0.0,
                help="weight of VGG19's perceptual loss (pip install torchvision)",
            )
            group.add_argument(
                "--num_D", type=number(int, least=1), default=2, metavar="N", help="discriminators, at as many scales"
            )
            builds_networks(parser, "num_D", in_testing=False)
            group.add_argument(
                "--niter_fix_global",
                type=number(int, least=0),
                default=0,
                metavar="N",
                help="epochs in which --netG local does not change its global part",
            )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        refuse_chance_pairs(opt)
        architectures.check_generator_size(opt)
        if not is_train:
            return
        if opt.netD == "pixel":
            raise UserError("--netD pixel has no layers to match: use basic or n_layers with --model pix2pix_hd")
        architectures.check_discriminator_size(opt, scales=opt.num_D)
        if opt.lambda_vgg > 0 and opt.output_nc != 3:
            raise UserError(f"--lambda_vgg {opt.lambda_vgg} is for colour images, not --output_nc {opt.output_nc}")
        if opt.niter_fix_global and opt.netG != "local":
            raise UserError(
                f"--niter_fix_global {opt.niter_fix_global}: only --netG local has a global part, not {opt.netG}"
            )
        if opt.niter_fix_global and not (opt.init_from or opt.continue_train):
            raise UserError(
                f"--niter_fix_global {opt.niter_fix_global} keeps the global part as it is, which a run of --netG "
                "global has to bring: give --init_from RUN --init_partial"
            )

    def prepare_training(self, opt: argparse.Namespace) -> None:
        """Make the discriminators and the phases: G first; D then sees fakes of before that step."""
        self.network_names = ["G", "D"]
        self.netD = self.place(discriminators.multiscale_from_options(opt, opt.input_nc + opt.output_nc))
        self.pool = image_pool.ImagePool(opt.pool_size, seed=opt.seed)
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
