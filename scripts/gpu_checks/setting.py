"""What the checks of scripts/gpu_check.py share: where they run, models to train, and batches for them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models import create_model
from options import TrainOptions
from util.runtime.start import prepare


class CheckFailed(Exception):
    """A check found something other than what it expects."""


@dataclass(frozen=True)
class Setting:
    """Where the checks run, and the size of networks and images."""

    device: torch.device
    size: int  # of images, in pixels
    ngf: int
    folder: Path  # for temporary files

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def steps(self) -> int:
        """The number of training steps to measure."""
        return 20 if self.is_gpu else 1

    def on_cpu(self) -> Setting:
        return replace(self, device=torch.device("cpu"))

    def options(self, *flags: str, name: str = "checked") -> argparse.Namespace:
        """The options of train.py with these flags, and the size of networks and images that is checked."""
        common = ["--dataroot", str(self.folder), "--checkpoints_dir", str(self.folder), "--name", name]
        common += ["--device", str(self.device), "--seed", "1", "--ngf", str(self.ngf), "--ndf", str(self.ngf)]
        common += ["--crop_size", str(self.size), "--load_size", str(self.size)]
        return TrainOptions().parse([*common, *flags])

    def build(self, *flags: str) -> Any:
        """A model with these flags, prepared as by train.py. Its weights do not depend on the device."""
        opt = prepare(self.options(*flags), trains=True)
        model = create_model(opt)
        model.setup(opt)
        return model

    def batch(self, model: Any, seed: int = 0) -> dict[str, Any]:
        """Random images for a model, as a loader delivers them: in pinned memory if they go to a GPU."""
        opt = model.opt
        random = torch.Generator().manual_seed(seed)
        batch: dict[str, Any] = {}
        for domain, channels in (("A", opt.input_nc), ("B", getattr(opt, "output_nc", 3))):
            images = torch.rand(opt.batch_size, channels, self.size, self.size, generator=random) * 2 - 1
            batch[domain] = images.pin_memory() if self.is_gpu else images
            batch[f"{domain}_paths"] = [f"{number}.png" for number in range(opt.batch_size)]
        return batch

    def step(self, model: Any, seed: int = 0) -> dict[str, float]:
        """Take one training step; returns its losses. Raises TrainingDiverged if a number is not finite."""
        take_step(model, self.batch(model, seed))
        losses: dict[str, float] = model.get_current_losses()
        return losses


def take_step(model: Any, batch: dict[str, Any]) -> None:
    """Take one training step, without waiting for it."""
    model.set_input(batch)
    model.optimize_parameters()


def largest_difference(losses: dict[str, float], expected: dict[str, float]) -> float:
    """The largest difference of losses of the same name, relative to the expected one, or to 1 if that is smaller."""
    if losses.keys() != expected.keys():
        raise CheckFailed(f"the losses are {', '.join(losses)} instead of {', '.join(expected)}")
    return max(abs(losses[name] - value) / max(1.0, abs(value)) for name, value in expected.items())
