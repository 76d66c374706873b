"""A loss or a gradient that is not finite: kept away from the weights on the device, told when the host asks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from util.errors import TrainingDiverged


class FiniteWatch:
    """Looks at every phase of every step without making the host wait for the device.

    A step with a number that is not finite is skipped, by a flag on the device that fused optimizers take. From the
    first such step on (with fp16, whose factor has to be found: from the one after `most_skips` in a row) the run
    counts as broken, and every step is skipped; the host learns of it by `raise_if_broken`.
    """

    def __init__(self, device: torch.device, most_skips: int = 0) -> None:
        self.most_skips = most_skips
        self.step = 0  # the one that is going on, counted from 1
        self.skipped = torch.zeros((), device=device)  # how many phases' steps were skipped
        self._in_a_row: dict[str, Tensor] = {}  # by phase
        self._broken = torch.zeros((), device=device)
        self._at = torch.zeros((), device=device)  # the first broken step
        self._names: dict[str, list[str]] = {}  # of the losses of a phase
        self._first: dict[str, Tensor] = {}  # a phase's losses and gradient norm where it was the first to break

    def begin_step(self) -> None:
        self.step += 1

    def check(self, phase: str, losses: Mapping[str, Tensor], gradients: Iterable[Tensor | None]) -> Tensor:
        """Look at a phase's losses (scalars) and the norm of its gradients; returns 1.0 to skip its step, else 0.0."""
        norm = get_total_norm([gradient for gradient in gradients if gradient is not None])
        values = torch.stack([*losses.values(), norm]).float()
        is_wrong = ~values.isfinite().all()
        before = self._in_a_row.get(phase, torch.zeros_like(self._broken))
        self._in_a_row[phase] = (before + 1) * is_wrong
        breaks = (self._broken == 0) & (self._in_a_row[phase] > self.most_skips)
        self._names[phase] = list(losses)
        self._first[phase] = torch.where(breaks, values, self._first.get(phase, torch.zeros_like(values)))
        self._at = torch.where(breaks, self.step, self._at)
        self._broken = torch.maximum(self._broken, breaks.float())
        self.skipped += is_wrong
        return torch.maximum(self._broken, is_wrong.float())

    def state_dict(self) -> dict[str, Any]:
        """Only of a run that is not broken: no other is saved."""
        return {"step": self.step, "skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self._broken.device
        self.step = state["step"]
        self.skipped = state["skipped"].to(device)
        self._in_a_row = {phase: count.to(device) for phase, count in state["in_a_row"].items()}

    def raise_if_broken(self) -> None:
        """Wait for the device; raises TrainingDiverged if the run is broken."""
        if not self._broken.item():
            return
        for phase, values in self._first.items():
            *losses, gradient = values.tolist()
            numbers = dict(zip(self._names[phase], losses, strict=True)) | {f"the gradient of {phase}": gradient}
            wrong = [f"{name} = {value}" for name, value in numbers.items() if not math.isfinite(value)]
            if wrong:
                named = [text for text in wrong if "gradient" not in text] or wrong
                raise TrainingDiverged(", ".join(named), steps_ago=self.step - int(self._at.item()))
