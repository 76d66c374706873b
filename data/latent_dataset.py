"""Latent vectors from which a model generates images, for testing: no images are read."""

from __future__ import annotations

import argparse

import numpy as np
import torch

from data.base_dataset import BaseDataset, Sample
from data.latent_options import LatentOptions
from util.errors import UserError
from util.stage import Stage


class LatentDataset(LatentOptions, BaseDataset):
    """--num_test random latents drawn according to --seed, each with a second one to interpolate to."""

    phase_endings = ()

    def __init__(self, opt: argparse.Namespace, stage: Stage | None = None, phase: str | None = None) -> None:
        super().__init__(opt, stage, phase)
        if self.stage is not Stage.TEST:
            raise UserError("--dataset_mode latent is only for testing: it has no images to learn from")

    def __len__(self) -> int:
        return int(self.opt.num_test)

    def summary(self) -> str:
        """The number of latents and their seed."""
        return f"{len(self)} latents of --seed {self.opt.seed}"

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"z", "z_end": standard normal values (latent_size,), "A_paths": a name for the generated image}."""
        z, z_end = random.standard_normal((2, self.opt.latent_size), dtype=np.float32)
        return {"z": torch.from_numpy(z), "z_end": torch.from_numpy(z_end), "A_paths": f"sample_{index + 1:04}"}
