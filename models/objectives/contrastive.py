"""Patchwise contrast (Park et al. 2020, section 3): a patch should be nearer to its own source than to others."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.objectives.losses import in_full

Features = Mapping[str, Tensor]  # of a batch of images, by name: (N, channels, height, width)
Positions = Mapping[str, Tensor]  # in these, by the same names: indices into height * width


def draw_positions(features: Features, count: int) -> dict[str, Tensor]:
    """Different positions in each feature map, `count` or all there are, the same for all images of the batch.

    Drawn from torch's global random state.
    """
    drawn = {}
    for name, values in features.items():
        drawn[name] = torch.randperm(values.shape[-2] * values.shape[-1], device=values.device)[:count]
    return drawn


class PatchProjection(nn.Module):
    """From the features of single patches to directions, by a perceptron of two layers for each feature map."""

    def __init__(self, feature_channels: Mapping[str, int], *, width: int) -> None:
        super().__init__()
        self.mlp = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(channels, width), nn.ReLU(inplace=True), nn.Linear(width, width))
                for name, channels in feature_channels.items()
            }
        )

    def forward(self, features: Features, positions: Positions) -> dict[str, Tensor]:
        """By the names of the feature maps, the patches at these positions: (N, patches, width), of length 1."""
        directions = {}
        for name, mlp in self.mlp.items():
            patches = features[name].flatten(2)[:, :, positions[name]].transpose(1, 2)
            directions[name] = F.normalize(in_full(mlp(patches)), dim=-1)
        return directions


def patch_nce_loss(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each query's key, that of the same place, among the keys of the same image.

    `queries` and `keys` are (N, patches, width), of length 1; their scalar products, divided by the temperature, are
    the logits. A mean over all patches; no gradient flows into the keys (Park et al. 2020, equations 2 and 3).
    """
    logits = in_full(queries @ keys.detach().transpose(1, 2)) / temperature  # (N, query, key)
    places = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
    return F.cross_entropy(logits.flatten(0, 1), places.flatten())
