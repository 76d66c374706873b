"""A textbook training step of CycleGAN (Zhu et al. 2017): the baseline of all benchmarks.

The same networks and losses as models/cycle_gan_model.py, but one graph for the whole objective of the generators,
direct convolution and torch's defaults. This module does not use util/runtime, which would change how the process
allocates memory. On a GPU it uses what is usual there: autocast for --precision bf16, TF32 as in that --precision,
cuDNN's fastest algorithms for images of one size; and it reads losses from the GPU only if they are asked for.
"""

from __future__ import annotations

import argparse
import itertools
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from models.networks.discriminators import create_discriminator
from models.networks.generators import create_generator
from models.networks.layers import initialize


class PlainCycleGAN:
    """`opt`: resolved options of a training run: network sizes, learning rate and loss weights are used."""

    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        device = torch.device(opt.device)
        select_products(opt.precision)
        torch.manual_seed(opt.seed)
        # Initialized in the order of models/cycle_gan_model.py, so that one seed gives both the same weights.
        self.netG_A, self.netG_B = (self._generator().to(device) for _ in range(2))
        self.netD_A, self.netD_B = (self._discriminator().to(device) for _ in range(2))
        self.optimizer_G = self._adam(self.netG_A, self.netG_B)
        self.optimizer_D = self._adam(self.netD_A, self.netD_B)
        self.mse, self.l1 = nn.MSELoss(), nn.L1Loss()

    def _generator(self) -> nn.Module:
        opt = self.opt
        network = create_generator(opt.netG, input_nc=3, output_nc=3, ngf=opt.ngf, norm=opt.norm, conv="direct")
        initialize(network)
        return network

    def _discriminator(self) -> nn.Module:
        network = create_discriminator(self.opt.netD, input_nc=3, ndf=self.opt.ndf, norm=self.opt.norm)
        initialize(network)
        return network

    def _adam(self, *networks: nn.Module) -> torch.optim.Adam:
        parameters = itertools.chain(*(network.parameters() for network in networks))
        return torch.optim.Adam(parameters, lr=self.opt.lr, betas=(self.opt.beta1, 0.999))

    def autocast(self) -> AbstractContextManager[None]:
        """A context for forward passes; it has an effect in bf16 only."""
        return torch.autocast(self.opt.device.split(":")[0], torch.bfloat16, enabled=self.opt.precision == "bf16")

    def gan(self, logits: Tensor, real: bool) -> Tensor:
        return self.mse(logits, torch.full_like(logits, float(real)))

    def step(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        """One training step on images (N, 3, H, W) in [-1, 1]. Returns the weighted losses by name."""
        discriminators = nn.ModuleList([self.netD_A, self.netD_B]).requires_grad_(False)
        self.optimizer_G.zero_grad()
        with self.autocast():
            losses, fake_A, fake_B = self.generator_losses(real_A, real_B)
        sum(losses.values(), torch.zeros((), device=real_A.device)).backward()
        self.optimizer_G.step()

        discriminators.requires_grad_(True)
        self.optimizer_D.zero_grad()
        for name, netD, real, fake in (("D_A", self.netD_A, real_B, fake_B), ("D_B", self.netD_B, real_A, fake_A)):
            with self.autocast():
                losses[name] = 0.5 * (self.gan(netD(real), True) + self.gan(netD(fake.detach()), False))
            losses[name].backward()
        self.optimizer_D.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def generator_losses(self, real_A: Tensor, real_B: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The losses of the generators by name, and the generated images of A and B."""
        opt = self.opt
        fake_B = self.netG_A(real_A)
        rec_A = self.netG_B(fake_B)
        fake_A = self.netG_B(real_B)
        rec_B = self.netG_A(fake_A)
        losses = {
            "G_A": self.gan(self.netD_A(fake_B), True),
            "G_B": self.gan(self.netD_B(fake_A), True),
            "cycle_A": opt.lambda_A * self.l1(rec_A, real_A),
            "cycle_B": opt.lambda_B * self.l1(rec_B, real_B),
            "idt_A": opt.lambda_identity * opt.lambda_B * self.l1(self.netG_A(real_B), real_B),
            "idt_B": opt.lambda_identity * opt.lambda_A * self.l1(self.netG_B(real_A), real_A),
        }
        return losses, fake_A, fake_B


def select_products(precision: str) -> None:
    """Let a GPU round float32 products to TF32 as --precision defines, and use the fastest convolutions."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.benchmark = True
