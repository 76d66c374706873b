"""The perceptual loss: L1 distance of VGG19 features (Johnson et al. 2016; Wang et al. 2018, section 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19
from torchvision.models.feature_extraction import create_feature_extractor

from models.objectives.losses import l1_loss, upcast
from util.errors import UserError

WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of relu1_1, relu2_1, ..., relu5_1
MIN_SIZE = 16  # pixels: four poolings come before relu5_1
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of ImageNet images in [0, 1]


def load_vgg19() -> nn.Sequential:
    """The convolutional layers of VGG19 with torchvision's ImageNet weights, downloaded on first use.

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
    """The weighted sum of L1 losses of five feature maps of a frozen VGG19, one for each resolution."""

    def __init__(self, convolutions: nn.Sequential) -> None:
        super().__init__()
        self.features = create_feature_extractor(convolutions, first_relus(convolutions))
        self.normalize = Normalize()
        self.eval().requires_grad_(False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss of images (N, 3, H, W) in [-1, 1], at least 16 pixels a side; no gradient flows into `real`."""
        fake_features, real_features = self.features(self.normalize(fake)), self.features(self.normalize(real.detach()))
        loss = fake.new_zeros((), dtype=upcast(fake).dtype)
        for weight, name in zip(WEIGHTS, fake_features, strict=True):
            loss = loss + weight * l1_loss(fake_features[name], upcast(real_features[name]))
        return loss


def first_relus(convolutions: nn.Sequential) -> list[str]:
    """The names of the first ReLU layers at each resolution: relu1_1, relu2_1, ..., relu5_1 of VGG19."""
    names: list[str] = []
    is_first = True
    for name, layer in convolutions.named_children():
        is_first |= isinstance(layer, nn.MaxPool2d)
        if is_first and isinstance(layer, nn.ReLU):
            names.append(name)
            is_first = False
    return names


class Normalize(nn.Module):
    """Normalizes images in [-1, 1] to the mean and standard deviation that VGG19 was trained with."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Buffers, because constants would be copied to the device in every step. Not in state dicts.
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return ((upcast(images) + 1) / 2 - self.mean) / self.std


def normalize(images: Tensor) -> Tensor:
    """`Normalize` as a function."""
    normalized: Tensor = Normalize().to(images.device)(images)
    return normalized
