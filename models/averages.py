"""Exponential moving averages (EMA) of network weights, for --ema_decay. They are saved instead of the last weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


class MovingAverage(nn.Module):
    """The moving average of a network: `module` has its structure, with averaged parameters and buffers.

    The state dict is that of torch.optim.swa_utils.AveragedModel. That class is not used, because it counts updates on
    the device and waits for it.
    """

    n_averaged: Tensor  # number of updates, always on the host

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("n_averaged", torch.tensor(0, dtype=torch.long))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the weights of the network; the first update copies them."""
        averaged, current = _tensors(self.module), _tensors(network)
        is_float = [tensor.is_floating_point() for tensor in averaged]
        for average, value, is_averaged in zip(averaged, current, is_float, strict=True):
            if not is_averaged:  # the number of batches of a batch norm
                average.copy_(value)
        floats = [tensor for tensor, is_averaged in zip(averaged, is_float, strict=True) if is_averaged]
        values = [tensor for tensor, is_averaged in zip(current, is_float, strict=True) if is_averaged]
        torch._foreach_lerp_(floats, values, 1 - self._step_decay())
        self.n_averaged += 1

    def _step_decay(self) -> float:
        """The decay of the next update; smaller in the first steps, to reduce the influence of the initial weights."""
        count = int(self.n_averaged)
        return min(self.decay, (1 + count) / (10 + count)) if count else 0.0


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def create_averages(networks: Mapping[str, nn.Module], names: Iterable[str], decay: float) -> dict[str, MovingAverage]:
    """The moving averages of the networks in `names`; empty if `decay` is 0."""
    return {name: MovingAverage(networks[name], decay) for name in names} if decay else {}
