"""DCGAN: unconditional generation of images from latents (Radford et al. 2016)."""

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

WALK_STEPS = 7  # images of an interpolation between two latents, the first one not counted
MAX_GRID_WIDTH = 1024  # pixels, of the grid of samples


class DCGANModel(DCGANOptions, BaseModel):
    """G maps latents z ~ N(0, I) to images; D is the discriminator of images of A.

    Training batches contain images (`A`), and latents are drawn here. Test batches contain latents (`z`), and the
    latents to interpolate to (`z_end`).
    """

    has_fixed_samples = True
    can_use_graphs = True

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.visual_names = ["fake", *(f"walk_{step}" for step in range(1, WALK_STEPS + 1))]
        generator = dcgan_networks.LatentGenerator(
            opt.latent_size, opt.input_nc, size=opt.crop_size, ngf=opt.ngf, norm=opt.norm
        )
        self.netG = self.add_network("G", generator, averaged=True)
        if self.is_training_stage:
            self._prepare_training(opt)
        else:
            self.netG.eval()  # a sample must not depend on the other samples of its batch

    def _prepare_training(self, opt: argparse.Namespace) -> None:
        self.visual_names = ["real", "fake", "samples"]
        norm = opt.norm_D or opt.norm
        discriminator = dcgan_networks.ImageDiscriminator(opt.input_nc, size=opt.crop_size, ndf=opt.ndf, norm=norm)
        self.netD = self.add_network("D", discriminator)
        self.augment = augmentation.for_discriminators(opt.augment)
        self.pool = self.add_state("pool", ImagePool(opt.pool_size, seed=opt.seed))
        self.columns = min(8, MAX_GRID_WIDTH // opt.crop_size)
        self.fixed_noise = self.add_state("fixed_noise", FixedNoise(self.columns**2, opt.latent_size, seed=opt.seed))
        self.phases = [
            Phase("G", [self.netG], self.adam(self.netG), [self.loss_G]),
            Phase("D", [self.netD], self.adam(self.netD), [self.loss_D], independent=True),
        ]

    def set_input(self, batch: Mapping[str, Any]) -> None:
        self.image_paths = batch["A_paths"]
        if "A" in batch:
            self.real = self.to_device(batch["A"])
            self.z = torch.randn(len(self.real), self.opt.latent_size, device=self.device, dtype=self.real.dtype)
        else:
            self.z, self.z_end = self.to_device(batch["z"]), self.to_device(batch["z_end"])

    def forward(self) -> None:
        """Generate an image from each latent, and the images of the interpolation to `z_end` if the batch has it."""
        self.fake = self.netG(self.z)
        if hasattr(self, "z_end"):
            for step in range(1, WALK_STEPS + 1):
                setattr(self, f"walk_{step}", self.netG(slerp(self.z, self.z_end, step / WALK_STEPS)))

    def generator(self, backwards: bool = False) -> nn.Module:
        raise UserError("--model dcgan generates images from latents: it does not translate images")

    def get_current_visuals(self) -> dict[str, Tensor]:
        """The visuals. In training also `samples`: a grid of the images generated from the fixed noise.

        The samples are generated in eval mode, so that running statistics do not change.
        """
        visuals = super().get_current_visuals()
        if self.is_training_stage:
            samples = self.in_eval_mode(self.netG, self.fixed_noise.z.to(next(self.netG.parameters())))
            visuals["samples"] = images.grid(samples, self.columns).unsqueeze(0)
        return visuals

    # G is updated first, so that D reuses the images generated for that update.

    def loss_G(self) -> dict[str, Tensor]:
        """G: the GAN loss; for vanilla the non-saturating -log D(G(z)) (Goodfellow et al. 2014, end of section 3)."""
        self.fake = self.netG(self.z)
        return {"G": losses.gan_loss(self.netD(self.augment(self.fake)), True, self.opt.gan_mode)}

    def loss_D(self) -> dict[str, Tensor]:
        """D: images of A are real, generated images (from the pool) are fake."""
        real, fake = self.augment(self.real), self.augment(self.query_pool(self.pool, self.fake))
        return {"D": losses.discriminator_loss(self.netD, real, fake, self.opt.gan_mode, self.opt.lambda_gp)}


class FixedNoise:
    """Fixed latents (count, latent_size) ~ N(0, I), drawn from `seed`, to display the same samples in a whole run."""

    def __init__(self, count: int, latent_size: int, seed: int) -> None:
        self.z = torch.randn(count, latent_size, generator=torch.Generator().manual_seed(seed))

    def state_dict(self) -> dict[str, Any]:
        return {"z": self.z}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.z = state["z"]


def slerp(start: Tensor, end: Tensor, t: float) -> Tensor:
    """Spherical linear interpolation of latents (N, latent_size), `t` from 0 to 1 (White 2016, section 2.1).

    Normally distributed latents lie near a sphere, and a straight line leaves it for latents that G was not trained
    on. For opposite latents, where the great circle is not unique, the interpolation is linear.
    """
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1)[:, None]
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    spherical = (((1 - t) * angle).sin() * start + (t * angle).sin() * end) / sine
    return torch.where(sine > 1e-4, spherical, (1 - t) * start + t * end)
