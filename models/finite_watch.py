"""A loss or a gradient that is not finite: kept away from the weights on the device, told when the host asks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from util.errors import TrainingDiverged


class FiniteWatch:
    """Looks at every phase of every step without making the host wait for the device.

    From the first number that is not finite on, `broken` is 1 (until then 0), which fused optimizers take for a
    flag to leave the weights alone; the host learns of it by `raise_if_broken`.
    """

    def __init__(self, device: torch.device) -> None:
        self.broken = torch.zeros((), device=device)
        self.step = 0  # the one that is going on, counted from 1
        self._at = torch.zeros((), device=device)  # the first broken step
        self._names: dict[str, list[str]] = {}  # of the losses of a phase
        self._first: dict[str, Tensor] = {}  # a phase's losses and gradient norm where it was the first to break

    def begin_step(self) -> None:
        self.step += 1

    def check(self, phase: str, losses: Mapping[str, Tensor], gradients: Iterable[Tensor | None]) -> None:
        """Look at the losses of a phase (scalars) and at the norm of the gradients that they gave."""
        norm = get_total_norm([gradient for gradient in gradients if gradient is not None])
        values = torch.stack([*losses.values(), norm]).float()
        is_first = (self.broken == 0) & ~values.isfinite().all()
        self._names[phase] = list(losses)
        self._first[phase] = torch.where(is_first, values, self._first.get(phase, torch.zeros_like(values)))
        self._at = torch.where(is_first, self.step, self._at)
        self.broken = torch.maximum(self.broken, is_first.float())

    def raise_if_broken(self) -> None:
        """Wait for the device; raises TrainingDiverged if a number was not finite in any step so far."""
        if not self.broken.item():
            return
        for phase, values in self._first.items():
            *losses, gradient = values.tolist()
            numbers = dict(zip(self._names[phase], losses, strict=True)) | {f"the gradient of {phase}": gradient}
            wrong = [f"{name} = {value}" for name, value in numbers.items() if not math.isfinite(value)]
            if wrong:
                named = [text for text in wrong if "gradient" not in text] or wrong
                raise TrainingDiverged(", ".join(named), steps_ago=self.step - int(self._at.item()))
