"""Exponential moving averages (EMA) of network weights, for --ema_decay. They are saved instead of the last weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def create_averages(networks: Mapping[str, nn.Module], names: Iterable[str], decay: float) -> dict[str, AveragedModel]:
    """The moving averages of the networks in `names`, buffers included; empty if `decay` is 0."""
    if decay == 0:
        return {}

    def update(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        # Warm-up: a smaller decay in the first steps reduces the influence of the initial weights.
        step_decay = min(decay, (1 + int(count)) / (10 + int(count)))
        return averaged + (1 - step_decay) * (current - averaged)

    return {name: AveragedModel(networks[name], avg_fn=update, use_buffers=True) for name in names}
