"""Seeds, and torch's random state as an object that checkpoints save and restore."""

from __future__ import annotations

from typing import Any

import torch


def seed_everything(seed: int) -> None:
    """Seed torch's random state, which weight initialization and dropout use, on all devices.

    Also select deterministic cuDNN algorithms. Datasets and image pools have their own random states, derived from the
    same seed.
    """
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True


class RandomState:
    """Torch's random state on the CPU and on CUDA devices, as an object that checkpoints save and restore."""

    def state_dict(self) -> dict[str, Any]:
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        if len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
