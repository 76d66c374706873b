"""A running mean of scalars on their device."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class RunningMean:
    """The mean of scalar tensors. Only `mean` synchronizes with the device. Saved in checkpoints."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total: Tensor | float = 0.0
        self.count: Tensor | int = 0

    def add(self, value: Tensor, is_valid: Tensor) -> None:
        """Add the scalar `value` if the boolean scalar `is_valid` is true."""
        self.total = self.total + torch.where(is_valid, value, 0.0)
        self.count = self.count + is_valid.long()

    def mean(self) -> float:
        """The mean of all values added since `reset`; NaN without values."""
        return float(self.total) / count if (count := int(self.count)) else math.nan

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total, self.count = state["total"], state["count"]
