"""Noise that a model makes images of, for testing: there are no images to read."""

from __future__ import annotations

import numpy as np
import torch

from data.base_dataset import BaseDataset, Sample
from data.latent_options import LatentOptions


class LatentDataset(LatentOptions, BaseDataset):
    """As many latents as --num_test says, by --seed, and for each another one to walk to."""

    def __len__(self) -> int:
        return int(self.opt.num_test)

    def summary(self) -> str:
        """How many, and of which seed."""
        return f"{len(self)} latents of --seed {self.opt.seed}"

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"z", "z_end": standard normal values (latent_size,), "A_paths": a name for what is made of them}."""
        z, z_end = random.standard_normal((2, self.opt.latent_size), dtype=np.float32)
        return {"z": torch.from_numpy(z), "z_end": torch.from_numpy(z_end), "A_paths": f"sample_{index + 1:04}"}
