"""Noise that a model makes images of, for testing: there are no images to read."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from data.base_dataset import BaseDataset, Sample
from util.errors import UserError
from util.lazy import lazy_import

if TYPE_CHECKING:
    import numpy as np
    import torch
else:
    np, torch = lazy_import("numpy", "torch")


class LatentDataset(BaseDataset):
    """As many latents as --num_test says, by --seed, and for each another one to walk to."""

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if is_train:
            raise UserError("--dataset_mode latent has no images to learn from: it is what test.py gives --model dcgan")
        if not hasattr(opt, "latent_size"):
            raise UserError(f"--dataset_mode latent is for models of noise, such as dcgan, not for --model {opt.model}")

    def __len__(self) -> int:
        return int(self.opt.num_test)

    def summary(self) -> str:
        """How many, and of which seed."""
        return f"{len(self)} latents of --seed {self.opt.seed}"

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"z", "z_end": standard normal values (latent_size,), "A_paths": a name for what is made of them}."""
        z, z_end = random.standard_normal((2, self.opt.latent_size), dtype=np.float32)
        return {"z": torch.from_numpy(z), "z_end": torch.from_numpy(z_end), "A_paths": f"sample_{index + 1:04}"}
