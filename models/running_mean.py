"""The mean of scalars that stay on their device."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class RunningMean:
    """Mean of scalars; the host waits for the device only in `mean`. Part of a run's checkpoint."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total: Tensor | float = 0.0
        self.count: Tensor | int = 0

    def add(self, value: Tensor, counts: Tensor) -> None:
        """Add the scalar `value` if the scalar `counts` is true."""
        self.total = self.total + torch.where(counts, value, 0.0)
        self.count = self.count + counts.long()

    def mean(self) -> float:
        """The mean of all values added since `reset`; NaN if there are none."""
        return float(self.total) / count if (count := int(self.count)) else math.nan

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total, self.count = state["total"], state["count"]
