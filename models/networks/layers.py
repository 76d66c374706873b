"""Layers that generators and discriminators share: normalization layers by name, and weight initialization."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules.batchnorm import _BatchNorm


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm without affine parameters that keeps the channels-last memory format on CPUs.

    For channels-last images, torch's instance norm copies to contiguous format and back. Batch norm of a single image
    is the same function without the copies.
    """

    def forward(self, x: Tensor) -> Tensor:
        is_channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        if not (is_channels_last and x.device.type == "cpu" and x.dtype == torch.float32):
            return super().forward(x)
        images = [F.batch_norm(image, None, None, training=True, eps=self.eps) for image in x.split(1)]
        return images[0] if len(images) == 1 else torch.cat(images)


Norm = Callable[[int], nn.Module]

NORMS: dict[str, Norm] = {
    # Instance norm has neither affine parameters nor running statistics, as in the published weights.
    "instance": functools.partial(InstanceNorm2d, affine=False, track_running_stats=False),
    "batch": nn.BatchNorm2d,
    "syncbatch": nn.SyncBatchNorm,
    "none": nn.Identity,
}


def relu(norm: str) -> nn.ReLU:
    """ReLU after a norm, in place if that costs nothing.

    Instance norm returns a view, and after an in-place operation on a view, autograd copies it and its gradient.
    """
    return nn.ReLU(inplace=norm != "instance")


def leaky_relu(norm: str) -> nn.LeakyReLU:
    """LeakyReLU with slope 0.2 after a norm, in place in the same cases as `relu`."""
    return nn.LeakyReLU(0.2, inplace=norm != "instance")


def needs_bias(norm: str) -> bool:
    """Whether a convolution before this norm has a bias: not before batch norm, whose shift makes it redundant."""
    return norm not in ("batch", "syncbatch")


def downsample(images: Tensor) -> Tensor:
    """Downsample images (N, C, H, W) by 2: average pooling over 3x3 pixels with stride 2, without the padding."""
    return F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)


def uses_batch_statistics(network: nn.Module) -> bool:
    """Whether the network has a batch norm in training mode, so that a result depends on the whole batch."""
    return any(module.training and isinstance(module, _BatchNorm) for module in network.modules())


def use_image_statistics(network: nn.Module) -> None:
    """Make every batch norm normalize by the statistics of its input, as in training, in eval mode too.

    Running statistics are removed, not updated, so that the network has no state and threads can share it.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None


def has_batch_norm(network: nn.Module) -> bool:
    """Whether the network has a batch norm, in whatever mode."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def initialize(network: nn.Module, init_type: str = "normal", init_gain: float = 0.02) -> None:
    """Initialize a network's weights at random, with torch's global random state.

    Convolutions and linear layers, by `init_type`: normal: N(0, gain); xavier (Glorot and Bengio 2010): normal
    distribution with this gain; kaiming (He et al. 2015): normal distribution, fan_in, gain ignored; orthogonal (Saxe
    et al. 2014) with this gain. Batch norm: scale N(1, gain), shift 0. Biases: 0.
    """
    draw = {
        "normal": functools.partial(init.normal_, mean=0.0, std=init_gain),
        "xavier": functools.partial(init.xavier_normal_, gain=init_gain),
        "kaiming": functools.partial(init.kaiming_normal_, a=0.0, mode="fan_in"),
        "orthogonal": functools.partial(init.orthogonal_, gain=init_gain),
    }[init_type]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            draw(module.weight)
        elif isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            init.normal_(module.weight, mean=1.0, std=init_gain)
        else:
            continue
        if module.bias is not None:
            init.zeros_(module.bias)
