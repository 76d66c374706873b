"""Losses as functions: tensors in, a scalar out. Networks may compute in 16 bits; losses compute in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layers import uses_batch_statistics
from models.objectives import GAN_MODES


def gan_loss(logits: Tensor, target_is_real: bool, gan_mode: str) -> Tensor:
    """The mean GAN loss (--gan_mode) of a discriminator's logits, of any shape, for the target real or fake."""
    loss: Tensor = GAN_MODES.find(gan_mode)(upcast(logits), target_is_real)
    return loss


def lsgan(logits: Tensor, target_is_real: bool) -> Tensor:
    """Least squares: mean squared error to 1 (real) or 0 (fake) (Mao et al. 2017)."""
    return F.mse_loss(logits, torch.full_like(logits, float(target_is_real)))


def vanilla(logits: Tensor, target_is_real: bool) -> Tensor:
    """Mean binary cross-entropy with logits (Goodfellow et al. 2014)."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(target_is_real)))


def wgangp(logits: Tensor, target_is_real: bool) -> Tensor:
    """Wasserstein critic loss: -mean (real) or +mean (fake) (Arjovsky et al. 2017); see `gradient_penalty`."""
    return -logits.mean() if target_is_real else logits.mean()


def l1_loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference."""
    return F.l1_loss(upcast(output), target)


def color_loss(output: Tensor, source: Tensor) -> Tensor:
    """One minus the correlation between the colors of `output` and `source` (N, 3, H, W): 0 to 2 (reversed colors).

    The mean over two opponent channels (see `opponent_colors`) of 1 - Pearson's correlation over all positions of the
    batch. Brightness does not matter: dark blue may become light blue. But it must not become white if white areas stay
    white. Related to self-regularization (Shrivastava et al. 2017, equation 4), but invariant to scale and offset.
    It compares colors only within a batch; with --accumulate or several ranks, only within a micro-batch of a rank.
    """
    differences = [1 - correlation(x, y) for x, y in zip(opponent_colors(output), opponent_colors(source), strict=True)]
    return torch.stack(differences).mean()


def opponent_colors(images: Tensor) -> tuple[Tensor, Tensor]:
    """The opponent channels blue - red and green - (red + blue) / 2, each (N, H/4, W/4).

    They are means over 4x4 pixels, so that the loss does not restrict fine texture.
    """
    red, green, blue = F.avg_pool2d(upcast(images), min(4, *images.shape[2:])).unbind(1)
    return blue - red, green - (red + blue) / 2


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson's correlation of two tensors of the same shape; biased towards 0 if one has a std below about 0.01."""
    x, y = x - x.mean(), y - y.mean()
    # The constant bounds the gradients of images with nearly uniform color.
    x_variance, y_variance = x.square().mean() + 1e-5, y.square().mean() + 1e-5
    return (x * y).mean() / (x_variance * y_variance).sqrt()


def feature_matching_loss(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """L1 distance of discriminator features of generated and real images (Wang et al. 2018, equation 4).

    `fake` and `real` hold, for each discriminator, the outputs of its layers, and last its logits, which are ignored.
    The result is the mean over discriminators of 4 times the mean over layers: for any number of layers, the total
    weight that four layers have in the paper. No gradient flows into `real`.
    """
    differences = [
        4 * torch.stack([l1_loss(x, upcast(y).detach()) for x, y in zip(fakes[:-1], reals[:-1], strict=True)]).mean()
        for fakes, reals in zip(fake, real, strict=True)
    ]
    return torch.stack(differences).mean()


def upcast(values: Tensor) -> Tensor:
    """Convert float16 and bfloat16 to float32, because sums and squares need its precision; keep other types."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def discriminator_loss(netD: nn.Module, real: Tensor, fake: Tensor, gan_mode: str, lambda_gp: float) -> Tensor:
    """Half the sum of the GAN losses for real and fake images (Zhu et al. 2017, section 7.1).

    For wgangp plus `lambda_gp` times the gradient penalty. `real` and `fake` are images (N, C, H, W); no gradient flows
    into them.
    """
    fake = fake.detach()
    if real.shape == fake.shape and not uses_batch_statistics(netD):
        real_logits, fake_logits = netD(torch.cat([real, fake])).chunk(2)  # faster in one pass
    else:
        real_logits, fake_logits = netD(real), netD(fake)
    loss = 0.5 * (gan_loss(real_logits, True, gan_mode) + gan_loss(fake_logits, False, gan_mode))
    if gan_mode == "wgangp" and lambda_gp > 0:
        loss = loss + lambda_gp * gradient_penalty(netD, real, fake)
    return loss


def gradient_penalty(netD: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """The gradient penalty of WGAN-GP (Gulrajani et al. 2017, equation 3).

    The mean of (|gradient of D| - 1)^2 at random interpolations between real and fake images (N, C, H, W).
    """
    # The common size: the last batch of an epoch may be smaller, and a pool may return images of a different size.
    count, _, height, width = (min(sizes) for sizes in zip(real.shape, fake.shape, strict=True))
    real, fake = (upcast(images[:count, :, :height, :width]) for images in (real, fake))
    alpha = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    interpolated = (alpha * real + (1 - alpha) * fake).requires_grad_()
    with torch.compiler.set_stance("force_eager"):  # compiled networks have no second derivative
        logits = netD(interpolated)
    (gradient,) = torch.autograd.grad(upcast(logits).sum(), interpolated, create_graph=True)
    return ((upcast(gradient).flatten(1).norm(dim=1) - 1) ** 2).mean()
