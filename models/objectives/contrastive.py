"""The patchwise contrastive loss PatchNCE of CUT, and its projection network (Park et al. 2020, section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.objectives.losses import upcast

Features = Mapping[str, Tensor]  # feature maps by name: (N, channels, height, width)
Positions = Mapping[str, Tensor]  # patch positions by the same names: indices into height * width


def draw_positions(features: Features, count: int) -> dict[str, Tensor]:
    """`count` distinct random positions in each feature map (all if it has fewer), the same for all images of a batch.

    Uses torch's global random state.
    """
    positions = {}
    for name, values in features.items():
        positions[name] = torch.randperm(values.shape[-2] * values.shape[-1], device=values.device)[:count]
    return positions


class PatchProjection(nn.Module):
    """The projection network F: a two-layer MLP for each feature map, from patch features to unit vectors."""

    def __init__(self, feature_channels: Mapping[str, int], *, width: int) -> None:
        super().__init__()
        self.mlp = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(channels, width), nn.ReLU(inplace=True), nn.Linear(width, width))
                for name, channels in feature_channels.items()
            }
        )

    def forward(self, features: Features, positions: Positions) -> dict[str, Tensor]:
        """The projections of the patches at these positions, by feature map: unit vectors (N, patches, width)."""
        projections = {}
        for name, mlp in self.mlp.items():
            patches = features[name].flatten(2)[:, :, positions[name]].transpose(1, 2)
            projections[name] = F.normalize(upcast(mlp(patches)), dim=-1)
        return projections


def patch_nce_loss(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """PatchNCE (Park et al. 2020, equations 2 and 3): the mean InfoNCE loss of all queries.

    `queries` and `keys` are unit vectors (N, patches, width). The logits are their scalar products divided by the
    temperature. A query's positive is the key with the same index, its negatives are the other keys of the same image.
    No gradient flows into the keys.
    """
    logits = upcast(queries @ keys.detach().transpose(1, 2)) / temperature  # (N, query, key)
    targets = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())
