"""CUDA graphs (--cuda_graph): a sequence of operations on the GPU, captured once and replayed by a single launch."""

from __future__ import annotations

IS_CHECKED = False  # whether scripts/gpu_check.py has passed on a real GPU: only then does auto use graphs


def automatic_value(device_type: str) -> str:
    """What --cuda_graph auto is on this type of device: on or off."""
    return "on" if IS_CHECKED and device_type == "cuda" else "off"
