"""Numeric precision (--precision): the number formats that networks compute in, and loss scaling."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from util.runtime import capabilities


def resolve_precision(name: str, device: torch.device) -> str:
    """The precision that --precision NAME stands for on this device.

    auto: tf32_conv, torch's own default, on GPUs with TF32; fp32 elsewhere; never fp16 or bf16.
    """
    if name != "auto":
        return name
    return "tf32_conv" if capabilities.has_tf32(device) else "fp32"


class Precision:
    """The precision of --precision: autocast, and loss scaling for fp16. Saved in checkpoints, for the loss scale.

    fp32: float32. tf32: float32 with products rounded to TF32 (10 bits of mantissa), on GPUs that support it.
    tf32_conv: TF32 in convolutions only, torch's own default. bf16 and fp16: convolutions in 16 bits by torch's
    autocast; weights, losses and normalization statistics stay float32. fp16 has a narrow range, so losses are
    multiplied by a loss scale before the backward pass; it is halved after each overflow and doubled after 2,000 steps
    without overflow (Micikevicius et al. 2018, section 3.2). auto: see `resolve_precision`.
    """

    _selected = ""  # the name of the precision that the process is set to

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device = resolve_precision(name, device), device
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.name)
        self.may_skip = self.name == "fp16"  # overflows are expected, and their steps are skipped
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.may_skip)
        self._select_products()

    def _select_products(self) -> None:
        """Set whether float32 products are rounded to TF32. It is a setting of the whole process."""
        Precision._selected = self.name
        torch.set_float32_matmul_precision("high" if self.name == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = self.name in ("tf32", "tf32_conv")

    @property
    def note(self) -> str:
        """A note on a precision that has no effect on this device, or is slower there; usually empty."""
        if self.name in ("tf32", "tf32_conv") and not capabilities.has_tf32(self.device):
            return f"note: --precision {self.name} has no effect on this device: it is for NVIDIA GPUs since Ampere"
        if self.name == "bf16" and capabilities.bf16_speed(self.device) == "slow":
            return "note: --precision bf16 is slower than fp32 on this device, which has no instructions for bf16"
        if self.name == "fp16" and self.device.type == "cpu":
            return "note: --precision fp16 is slower than fp32 on most CPUs"
        return ""

    @property
    def advice(self) -> str:
        """A note on a precision with which this device trains faster; usually empty."""
        if self.dtype is not None or capabilities.bf16_speed(self.device) != "fast":
            return ""
        if self.device.type == "cpu":
            return (
                f"note: --precision bf16 trains faster on this processor, which has {capabilities.bf16_instructions()}"
            )
        if self.name == "fp32" and capabilities.has_tf32(self.device):
            return "note: --precision tf32_conv (torch's default) or bf16 can train faster on this GPU"
        return "note: --precision bf16 can train faster on this GPU"

    def autocast(self) -> AbstractContextManager[None]:
        """A context for forward passes: torch.autocast for bf16 and fp16.

        Models of different precisions may take turns. But a model with tf32 or tf32_conv must not run at the same time,
        in another thread, as a model with another precision.
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
