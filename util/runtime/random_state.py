"""Seeds, and torch's random state as an object that checkpoints save and restore."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed torch's random state, which weight initialization and dropout use, on all devices.

    Datasets and image pools have their own random states, derived from the same seed.
    """
    torch.manual_seed(seed)


class RandomState:
    """Torch's random state on the CPU and on the device of the job, as an object that checkpoints save and restore.

    A checkpoint may be restored on another device. Random numbers then differ from those of an uninterrupted run.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")

    def state_dict(self) -> dict[str, Any]:
        states: dict[str, Any] = {"cpu": torch.get_rng_state(), "cuda": []}
        if self.device.type == "cuda":
            states["cuda"] = [torch.cuda.get_rng_state(self.device)]
        elif self.device.type == "mps":
            states["mps"] = torch.mps.get_rng_state()
        return states

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        if self.device.type == "cpu":
            return
        saved = self._state_of_gpu(state["cuda"]) if self.device.type == "cuda" else state.get("mps")
        if saved is None:
            print(
                f"note: the checkpoint has no random state of {self.device}: random numbers, such as those of dropout, "
                "differ from here on",
                file=sys.stderr,
            )
        elif self.device.type == "cuda":
            torch.cuda.set_rng_state(saved, self.device)
        else:
            torch.mps.set_rng_state(saved)

    def _state_of_gpu(self, saved: list[Tensor]) -> Tensor | None:
        """The state for this GPU: that of the GPU that was used; by its index in checkpoints of earlier versions."""
        if len(saved) < 2:
            return saved[0] if saved else None
        index = torch.cuda.current_device() if self.device.index is None else self.device.index
        return saved[index] if index < len(saved) else None
