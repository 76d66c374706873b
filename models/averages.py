"""Exponential moving averages of networks (--ema_decay), whose weights are saved in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def create_averages(networks: Mapping[str, nn.Module], names: Iterable[str], decay: float) -> dict[str, AveragedModel]:
    """An average of each network in `names`, buffers included; none if `decay` is 0."""
    if decay == 0:
        return {}

    def blend(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        # In the first steps the decay is smaller, or the average would contain the initial weights for long.
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        return averaged + (1 - kept) * (current - averaged)

    return {name: AveragedModel(networks[name], avg_fn=blend, use_buffers=True) for name in names}
