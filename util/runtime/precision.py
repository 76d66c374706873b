"""Numeric precision (--precision): the number formats that networks compute in, and loss scaling."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Precision:
    """The precision of --precision: autocast, and loss scaling for fp16. Saved in checkpoints, for the loss scale.

    fp32: float32. tf32: float32 with products rounded to TF32 (10 bits of mantissa), on GPUs that support it. bf16 and
    fp16: convolutions in 16 bits by torch's autocast; weights, losses and normalization statistics stay float32. fp16
    has a narrow range, so losses are multiplied by a loss scale before the backward pass; it is halved after each
    overflow and doubled after 2,000 steps without overflow (Micikevicius et al. 2018, section 3.2).
    """

    _selected = ""  # the name of the precision that the process is set to

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device = name, device
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name)
        self.may_skip = name == "fp16"  # overflows are expected, and their steps are skipped
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.may_skip)
        self._select_products()

    def _select_products(self) -> None:
        """Set whether float32 products are rounded to TF32. It is a setting of the whole process."""
        Precision._selected = self.name
        torch.set_float32_matmul_precision("high" if self.name == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = self.name == "tf32"

    @property
    def note(self) -> str:
        """A note on this precision for this device; usually empty."""
        has_tf32 = self.device.type == "cuda" and torch.cuda.get_device_capability(self.device) >= (8, 0)
        if self.name == "tf32" and not has_tf32:
            return "note: --precision tf32 has no effect on this device"
        if self.device.type == "cpu" and self.name != "fp32":
            return f"note: --precision {self.name} is slower than fp32 on most CPUs"
        if self.name == "fp32" and has_tf32:
            return "note: --precision tf32 or bf16 would be faster on this GPU"
        return ""

    def autocast(self) -> AbstractContextManager[None]:
        """A context for forward passes: torch.autocast for bf16 and fp16.

        Models of different precision may take turns; only tf32 can't run in several threads beside another precision.
        """
        if Precision._selected != self.name:
            self._select_products()
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass of a loss, multiplied by the loss scale."""
        self.scaler.scale(loss).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the loss scale. Call it once before the step."""
        if self.may_skip:
            self.scaler.unscale_(optimizer)

    def end_step(self) -> None:
        """Update the loss scale, after the steps of all optimizers."""
        if self.may_skip:
            self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:  # empty if the saved run had no loss scale
            self.scaler.load_state_dict(state)
