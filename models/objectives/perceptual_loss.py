"""The distance between two images in the features of VGG19 (Johnson et al. 2016; Wang et al. 2018, section 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.v2 import functional

from models.objectives.losses import in_full, l1_loss
from util.errors import UserError

WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of relu1_1, relu2_1, ..., relu5_1
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of ImageNet's images, with values in 0..1


def load_vgg19() -> nn.Sequential:
    """The convolutional layers of VGG19 with torchvision's ImageNet weights, downloaded the first time.

    Raises UserError if the weights can't be loaded.
    """
    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        return vgg19(weights=weights).features
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--lambda_vgg: the weights of VGG19 can't be loaded ({error}): download {weights.url} into "
            f"{torch.hub.get_dir()}/checkpoints, or use --lambda_vgg 0"
        ) from error


class PerceptualLoss(nn.Module):
    """The weighted mean absolute differences in five layers of VGG19, which stays frozen."""

    def __init__(self, convolutions: nn.Sequential) -> None:
        super().__init__()
        self.features = create_feature_extractor(convolutions, first_relus(convolutions))
        self.eval().requires_grad_(False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """A scalar for images (N, 3, H, W) in [-1, 1], of at least 16 pixels; no gradient flows into `real`."""
        of_fake, of_real = self.features(standardize(fake)), self.features(standardize(real.detach()))
        loss = fake.new_zeros((), dtype=in_full(fake).dtype)
        for weight, name in zip(WEIGHTS, of_fake, strict=True):
            loss = loss + weight * l1_loss(of_fake[name], in_full(of_real[name]))
        return loss


def first_relus(convolutions: nn.Sequential) -> list[str]:
    """The names of the first ReLU at each resolution of VGG19."""
    names: list[str] = []
    is_first = True
    for name, layer in convolutions.named_children():
        is_first |= isinstance(layer, nn.MaxPool2d)
        if is_first and isinstance(layer, nn.ReLU):
            names.append(name)
            is_first = False
    return names


def standardize(images: Tensor) -> Tensor:
    """Images in [-1, 1] with the mean and the standard deviation that VGG19 expects."""
    return functional.normalize((in_full(images) + 1) / 2, MEAN, STD)
