"""The guard against non-finite losses and gradients: it skips such steps on the device and reports on request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from util.errors import TrainingDiverged


class NonFiniteGuard:
    """Checks every phase of every step for non-finite numbers, without a synchronization of host and device.

    A step with a non-finite loss or gradient is skipped by a flag on the device that fused optimizers accept. After
    more than `max_skips` consecutive skipped steps (0, except for fp16, which has to search its loss scale) the run is
    broken, and all further steps are skipped. `raise_if_broken` reports this to the host.
    """

    def __init__(self, device: torch.device, max_skips: int = 0) -> None:
        self.max_skips = max_skips
        self.step = 0  # the current step, counted from 1
        self.skipped = torch.zeros((), device=device)  # number of skipped optimizer steps, over all phases
        self._in_a_row: dict[str, Tensor] = {}  # consecutive skipped steps of each phase
        self._broken = torch.zeros((), device=device)  # 1 once the run is broken
        self._broken_step = torch.zeros((), device=device)  # the step that broke the run
        self._loss_names: dict[str, list[str]] = {}  # by phase
        self._values: dict[str, Tensor] = {}  # by phase: losses and gradient norm when the phase broke, else zeros
        self._step_on_device = torch.zeros((), device=device)

    def begin_step(self) -> None:
        self.step += 1
        self._step_on_device.fill_(self.step)

    def check(self, phase: str, losses: Mapping[str, Tensor], gradients: Iterable[Tensor | None]) -> Tensor:
        """Check a phase's losses (scalars) and the norm of its gradients; returns 1.0 to skip its step, else 0.0."""
        norm = get_total_norm([gradient for gradient in gradients if gradient is not None])
        values = torch.stack([*losses.values(), norm]).float()
        is_non_finite = ~values.isfinite().all()
        in_a_row = self._in_a_row.setdefault(phase, torch.zeros_like(self._broken))
        kept = self._values.setdefault(phase, torch.zeros_like(values))
        # In place, so that a CUDA graph can repeat it.
        in_a_row.add_(1).mul_(is_non_finite)
        breaks = (self._broken == 0) & (in_a_row > self.max_skips)
        self._loss_names[phase] = list(losses)
        torch.where(breaks, values, kept, out=kept)
        torch.where(breaks, self._step_on_device, self._broken_step, out=self._broken_step)
        torch.maximum(self._broken, breaks.float(), out=self._broken)
        self.skipped += is_non_finite
        return torch.maximum(self._broken, is_non_finite.float())

    def state_dict(self) -> dict[str, Any]:
        """Without the fields of a broken run, since checkpoints of a broken run are never saved."""
        return {"step": self.step, "skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self._broken.device
        self.step = state["step"]
        self.skipped = state["skipped"].to(device)
        self._in_a_row = {phase: count.to(device) for phase, count in state["in_a_row"].items()}

    def raise_if_broken(self) -> None:
        """Synchronize with the device; raises TrainingDiverged, with the names of the losses, if the run is broken."""
        if not self._broken.item():
            return
        for phase, values in self._values.items():
            *losses, gradient = values.tolist()
            numbers = dict(zip(self._loss_names[phase], losses, strict=True)) | {f"the gradient of {phase}": gradient}
            non_finite = [f"{name} = {value}" for name, value in numbers.items() if not math.isfinite(value)]
            if non_finite:
                named = [text for text in non_finite if "gradient" not in text] or non_finite
                raise TrainingDiverged(", ".join(named), steps_ago=self.step - int(self._broken_step.item()))
