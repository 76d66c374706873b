"""DCGAN: a generator that makes images of noise, and a discriminator of whole images (Radford et al. 2016)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.base_model import BaseModel, Phase
from models.dcgan_options import DCGANOptions
from models.image_pool import ImagePool
from models.networks import dcgan_networks
from models.objectives import augmentation, losses
from util import images
from util.errors import UserError

WALK = 7  # images from a latent to another, without the first
WIDEST_GRID = 1024  # of samples, in pixels


class DCGANModel(DCGANOptions, BaseModel):
    """G turns latents, of independent normal values, into images; D judges images of A.

    In training it takes images (`A`) and draws its latents; in testing it takes latents (`z`), and those to walk to.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["fake", *(f"walk_{step}" for step in range(1, WALK + 1))]
        generator = dcgan_networks.LatentGenerator(
            opt.latent_size, opt.input_nc, size=opt.crop_size, ngf=opt.ngf, norm=opt.norm
        )
        self.netG = self.add_network("G", generator, averaged=True)
        if self.is_training_stage:
            self._prepare_training(opt)
        else:
            self.netG.eval()  # a sample's statistics are no image's own

    def _prepare_training(self, opt: argparse.Namespace) -> None:
        self.visual_names = ["real", "fake", "samples"]
        norm = opt.norm_D or opt.norm
        discriminator = dcgan_networks.ImageDiscriminator(opt.input_nc, size=opt.crop_size, ndf=opt.ndf, norm=norm)
        self.netD = self.add_network("D", discriminator)
        self.augment = augmentation.for_discriminators(opt.augment)
        self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
        self.columns = min(8, WIDEST_GRID // opt.crop_size)
        self.fixed_noise = self.add_state("fixed_noise", FixedNoise(self.columns**2, opt.latent_size, seed=opt.seed))
        self.phases = [
            Phase("G", [self.netG], self.adam(self.netG), [self.generate]),
            Phase("D", [self.netD], self.adam(self.netD), [self.judge]),
        ]

    def set_input(self, batch: Mapping[str, Any]) -> None:
        self.image_paths = batch["A_paths"]
        if "A" in batch:
            self.real = self.to_device(batch["A"])
            self.z = torch.randn(len(self.real), self.opt.latent_size, device=self.device, dtype=self.real.dtype)
        else:
            self.z, self.z_end = self.to_device(batch["z"]), self.to_device(batch["z_end"])

    def forward(self) -> None:
        """An image of each latent, and those on the way to another one."""
        self.fake = self.netG(self.z)
        if hasattr(self, "z_end"):
            for step in range(1, WALK + 1):
                setattr(self, f"walk_{step}", self.netG(between(self.z, self.z_end, step / WALK)))

    def generator(self, backwards: bool = False) -> nn.Module:
        raise UserError("--model dcgan makes images of latents: it does not translate images")

    def get_current_visuals(self) -> dict[str, Tensor]:
        """In training, beside a real and a generated image, `samples`: images of the fixed noise, side by side.

        They are made in eval mode, and so leave the statistics of norms alone.
        """
        visuals = super().get_current_visuals()
        if self.is_training_stage:
            samples = self.in_eval_mode(self.netG, self.fixed_noise.z.to(next(self.netG.parameters())))
            visuals["samples"] = images.grid(samples, self.columns).unsqueeze(0)
        return visuals

    # G goes first, so that D can judge the images that were made for that step, and they need be made only once.

    def generate(self) -> dict[str, Tensor]:
        """Is what G makes of noise taken for real? vanilla: -log D (Goodfellow et al. 2014, the end of section 3)."""
        self.fake = self.netG(self.z)
        return {"G": losses.gan_loss(self.netD(self.augment(self.fake)), True, self.opt.gan_mode)}

    def judge(self) -> dict[str, Tensor]:
        """Tell images from what G made."""
        real, fake = self.augment(self.real), self.augment(self.query_pool(self.pool, self.fake))
        return {"D": losses.discriminator_loss(self.netD, real, fake, self.opt.gan_mode, self.opt.lambda_gp)}


class FixedNoise:
    """The latents whose images are shown throughout a run: of `seed`, and kept by its checkpoints."""

    def __init__(self, count: int, latent_size: int, seed: int) -> None:
        self.z = torch.randn(count, latent_size, generator=torch.Generator().manual_seed(seed))

    def state_dict(self) -> dict[str, Any]:
        return {"z": self.z}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.z = state["z"]


def between(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Latents (N, latent_size) on the great circle from `start` (share 0) to `end` (share 1) (White 2016, section 2.1).

    Spherical, as normal latents lie near a sphere, inside of which, where straight lines go, G has learnt nothing.
    Opposite latents, which many circles join, are joined by a straight line.
    """
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1)[:, None]
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    curved = (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / sine
    return torch.where(sine > 1e-4, curved, (1 - share) * start + share * end)
