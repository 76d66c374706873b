"""Which number formats are fast on a device. No other module asks torch for capabilities."""

from __future__ import annotations

import platform
from typing import Literal

import torch

Speed = Literal["fast", "slow", "unknown"]

# AMD's architectures with fast bf16 convolutions: MI200, MI300 and MI350.
BF16_ARCHITECTURES = ("gfx90a", "gfx94", "gfx95")


def has_tf32(device: torch.device) -> bool:
    """Whether the device rounds float32 products to TF32 if it is allowed to: NVIDIA's GPUs since Ampere (8.0)."""
    return _is_nvidia(device) and torch.cuda.get_device_capability(device) >= (8, 0)


def bf16_speed(device: torch.device) -> Speed:
    """Whether bf16 is faster or slower than float32 on the device, if that is known."""
    if _is_nvidia(device):
        return "fast" if torch.cuda.get_device_capability(device) >= (8, 0) else "slow"
    if device.type == "cuda":  # AMD, whose capability numbers mean something else
        architecture = str(getattr(torch.cuda.get_device_properties(device), "gcnArchName", ""))
        return "fast" if architecture.startswith(BF16_ARCHITECTURES) else "unknown"
    if device.type == "cpu":
        return _bf16_speed_of_processor()
    return "unknown"


def bf16_instructions() -> str:
    """The name of the processor's bf16 instructions that oneDNN uses for convolutions; empty if it has none."""
    # Undocumented functions of torch 2.6 and later.
    checks = {"AMX": "_is_amx_tile_supported", "AVX512-BF16": "_is_avx512_bf16_supported"}
    return next((name for name, check in checks.items() if getattr(torch.cpu, check, bool)()), "")


def _bf16_speed_of_processor() -> Speed:
    if bf16_instructions():
        return "fast"
    return "slow" if platform.machine().lower() in ("x86_64", "amd64") else "unknown"


def _is_nvidia(device: torch.device) -> bool:
    return device.type == "cuda" and torch.version.hip is None
