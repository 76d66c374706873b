"""What a job runs on: the device, the seeds and the random state. Nothing else asks torch about these."""

from __future__ import annotations

from typing import Any

import torch

from util.errors import UserError


def get_device(name: str) -> torch.device:
    """The device of --device: auto is CUDA where there is one, else Apple's MPS, else the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in available if available[kind]))
    device = torch.device(name)
    missing = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if missing or not available[device.type]:
        raise UserError(f"--device {name}: torch {torch.__version__} finds no such device here; use --device auto")
    return device


def seed_everything(seed: int) -> None:
    """Start torch's random state, which initialisations and dropout draw from, at this seed on every device.

    cuDNN is told to take algorithms whose results repeat. Datasets and image pools draw from states of their
    own, derived from the same seed.
    """
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True


class RandomState:
    """Torch's random state on every device, as an object that a checkpoint can save and load."""

    def state_dict(self) -> dict[str, Any]:
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        if len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
