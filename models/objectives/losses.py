"""The objectives, as functions: tensors in, a scalar out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layers import mixes_images
from models.objectives import GAN_MODES


def gan_loss(logits: Tensor, target_is_real: bool, gan_mode: str) -> Tensor:
    """The mean GAN loss of a discriminator's logits, of any shape, for the target "real" or "fake"."""
    loss: Tensor = GAN_MODES.find(gan_mode)(in_full(logits), target_is_real)
    return loss


def lsgan(logits: Tensor, target_is_real: bool) -> Tensor:
    """Mean squared distance to 1 (real) or 0 (fake) (Mao et al. 2017)."""
    return F.mse_loss(logits, torch.full_like(logits, float(target_is_real)))


def vanilla(logits: Tensor, target_is_real: bool) -> Tensor:
    """Mean cross-entropy (Goodfellow et al. 2014)."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(target_is_real)))


def wgangp(logits: Tensor, target_is_real: bool) -> Tensor:
    """-mean (real) or +mean (fake), the Wasserstein critic (Arjovsky et al. 2017); see `gradient_penalty`."""
    return -logits.mean() if target_is_real else logits.mean()


def l1_loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference."""
    return F.l1_loss(in_full(output), target)


def color_loss(output: Tensor, source: Tensor) -> Tensor:
    """How far the colours of `output` are from going with those of `source`, both (N, 3, H, W): 0 to 2, reversed.

    One minus Pearson's correlation, over all places of the batch, of how blue rather than red, and of how green rather
    than magenta they are; brightness does not count. So dark blue may turn light blue, but not white, if white has been
    white too. A kin of self-regularization (Shrivastava et al. 2017, equation 4), but free of scale and offset. Only
    differences within a batch are seen; under --accumulate and in several processes, those within each part of it.
    """
    differences = [1 - correlation(x, y) for x, y in zip(opponent_colors(output), opponent_colors(source), strict=True)]
    return torch.stack(differences).mean()


def opponent_colors(images: Tensor) -> tuple[Tensor, Tensor]:
    """Blue - red and green - the mean of both, of means of 4x4 pixels, so that fine texture is free; (N, H/4, W/4)."""
    red, green, blue = F.avg_pool2d(in_full(images), min(4, *images.shape[2:])).unbind(1)
    return blue - red, green - (red + blue) / 2


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson's, of all values of two tensors of one shape; nearer to 0 where either varies by less than some 0.01."""
    x, y = x - x.mean(), y - y.mean()
    # Without a floor under the variances, as in F.cosine_similarity, gradients grow without bound where colours vanish.
    x_variance, y_variance = x.square().mean() + 1e-5, y.square().mean() + 1e-5
    return (x * y).mean() / (x_variance * y_variance).sqrt()


def feature_matching_loss(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """How far the layers of discriminators see a generated image from a real one (Wang et al. 2018, equation 4).

    `fake` and `real` are, for each discriminator, what its layers give and last its logits, which don't count. Layers
    weigh as those of a discriminator with four do in the paper, whatever their number; discriminators are averaged.
    """
    differences = [
        4
        * torch.stack([l1_loss(x, in_full(y).detach()) for x, y in zip(of_fake[:-1], of_real[:-1], strict=True)]).mean()
        for of_fake, of_real in zip(fake, real, strict=True)
    ]
    return torch.stack(differences).mean()


def in_full(values: Tensor) -> Tensor:
    """In float32 what a network gave in 16 bits: too few to sum or square in."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def discriminator_loss(netD: nn.Module, real: Tensor, fake: Tensor, gan_mode: str, lambda_gp: float) -> Tensor:
    """Half the sum of the real and the fake term (Zhu et al. 2017, section 7.1); for wgangp plus the penalty.

    `real` and `fake` are images (N, C, H, W); no gradient flows into them.
    """
    fake = fake.detach()
    if real.shape == fake.shape and not mixes_images(netD):
        on_real, on_fake = netD(torch.cat([real, fake])).chunk(2)  # in one pass
    else:
        on_real, on_fake = netD(real), netD(fake)
    loss = 0.5 * (gan_loss(on_real, True, gan_mode) + gan_loss(on_fake, False, gan_mode))
    if gan_mode == "wgangp" and lambda_gp > 0:
        loss = loss + lambda_gp * gradient_penalty(netD, real, fake)
    return loss


def gradient_penalty(netD: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Mean of (|gradient of D at a mix of a real and a fake image| - 1)^2 (Gulrajani et al. 2017, equation 3)."""
    # What pairs up: the last batch of an epoch is smaller, and a pool may hold images of another size.
    count, _, height, width = (min(sizes) for sizes in zip(real.shape, fake.shape, strict=True))
    real, fake = (in_full(images[:count, :, :height, :width]) for images in (real, fake))
    share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    mixed = (share * real + (1 - share) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(in_full(netD(mixed)).sum(), mixed, create_graph=True)
    return ((in_full(gradient).flatten(1).norm(dim=1) - 1) ** 2).mean()
