"""The distance of two images as VGG19 sees them (Johnson et al. 2016; Wang et al. 2018, section 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.objectives.losses import in_full, l1_loss
from util.errors import UserError

WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of relu1_1, relu2_1, ..., relu5_1
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the images that VGG19 was trained on, in 0..1


def load_vgg19() -> nn.Sequential:
    """The convolutional layers of VGG19 with torchvision's ImageNet weights, which it downloads the first time.

    Raises UserError without torchvision, and where the weights can't be had.
    """
    try:
        from torchvision.models import VGG19_Weights, vgg19
    except ImportError as error:
        raise UserError("--lambda_vgg needs torchvision, which is not installed: pip install torchvision") from error
    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        return vgg19(weights=weights).features
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--lambda_vgg: the weights of VGG19 can't be loaded ({error}): download {weights.url} into "
            f"{torch.hub.get_dir()}/checkpoints, or use --lambda_vgg 0"
        ) from error


class PerceptualLoss(nn.Module):
    """The weighted mean absolute differences of five layers of VGG19, which does not learn."""

    def __init__(self, convolutions: nn.Sequential) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages(convolutions))
        self.eval().requires_grad_(False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """A scalar for images (N, 3, H, W) in [-1, 1], of at least 16 pixels; no gradient flows into `real`."""
        x, y = standardize(fake), standardize(real.detach())
        loss = x.new_zeros(())
        for weight, stage in zip(WEIGHTS, self.stages, strict=True):
            x, y = stage(x), stage(y)
            loss = loss + weight * l1_loss(x, in_full(y))
        return loss


def stages(convolutions: nn.Sequential) -> list[nn.Sequential]:
    """VGG19's layers in five parts, each up to the first ReLU of a resolution."""
    found: list[nn.Sequential] = []
    layers: list[nn.Module] = []
    first_at_size = True
    for layer in convolutions:
        layers.append(layer)
        first_at_size |= isinstance(layer, nn.MaxPool2d)
        if isinstance(layer, nn.ReLU) and first_at_size:
            found.append(nn.Sequential(*layers))
            layers, first_at_size = [], False
    return found


def standardize(images: Tensor) -> Tensor:
    """Images in [-1, 1] with the mean and the deviation that VGG19 expects."""
    images = in_full(images)
    mean, deviation = (images.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return ((images + 1) / 2 - mean) / deviation
