"""What --precision asks for: the number formats that networks compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Precision:
    """What --precision asks for: in what type networks compute, and how gradients survive in few bits.

    fp32: as it is. tf32: float32 whose products are rounded to 10 bits, where the GPU can. bf16, fp16: convolutions in
    16 bits, by torch's autocast; weights, losses and statistics of norms stay float32. fp16 has a narrow range, so
    losses are scaled before going backward, by a factor that halves at each overflow and doubles after 2,000 steps
    without (Micikevicius et al. 2018, section 3.2). Part of a run's checkpoint, for that factor.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device = name, device
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name)
        self.may_skip = name == "fp16"  # a step may overflow, which is no fault
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.may_skip)
        products = "high" if name == "tf32" else "highest"
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = name == "tf32"

    @property
    def advice(self) -> str:
        """What there is to say of this precision on this device; mostly nothing."""
        has_tf32 = self.device.type == "cuda" and torch.cuda.get_device_capability(self.device) >= (8, 0)
        if self.name == "tf32" and not has_tf32:
            return "note: --precision tf32 changes nothing on this device"
        if self.device.type == "cpu" and self.name != "fp32":
            return f"note: --precision {self.name} is slower than fp32 on most CPUs"
        if self.name == "fp32" and has_tf32:
            return "note: --precision tf32 or bf16 would be faster on this GPU"
        return ""

    def autocast(self) -> AbstractContextManager[None]:
        """A context for forward passes."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled, to the parameters'."""
        self.scaler.scale(loss).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Give the gradients of an optimizer's parameters their own size; once, before its step."""
        if self.may_skip:
            self.scaler.unscale_(optimizer)

    def end_step(self) -> None:
        """All optimizers have taken their step: settle the factor for the next."""
        if self.may_skip:
            self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:  # else that of a run without a factor
            self.scaler.load_state_dict(state)
