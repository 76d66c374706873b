"""LPIPS (Zhang et al. 2018) with VGG16, computed by torch-fidelity from weights that are already on this machine."""

from __future__ import annotations

import importlib.util
import pickle
from functools import cache
from typing import Any

import torch
from torch import Tensor

from util.errors import UserError
from util.evaluation.extractors import hub_checkpoints
from util.evaluation.feature_networks import exact
from util.evaluation.metric import Metric, Needs, as_rgb

WEIGHTS = {
    "weights-vgg16-lpips.pth": "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-vgg16-lpips.pth",
    "vgg16-397923af.pth": "https://download.pytorch.org/models/vgg16-397923af.pth",
}


def require() -> None:
    """Raise UserError if torch-fidelity or one of the two files of weights is missing: nothing is downloaded."""
    if importlib.util.find_spec("torch_fidelity") is None:
        raise UserError("--metrics lpips needs torch-fidelity: pip install torch-fidelity")
    missing = [name for name in WEIGHTS if not (hub_checkpoints() / name).is_file()]
    if missing:
        urls = " and ".join(WEIGHTS[name] for name in missing)
        raise UserError(f"--metrics lpips needs weights that are not in {hub_checkpoints()}: save {urls} there")


@cache
def _network() -> Any:
    """The library's network. It reads both files itself, so a check first ensures that they contain only tensors."""
    require()
    from torch_fidelity.sample_similarity_lpips import SampleSimilarityLPIPS

    for file in (hub_checkpoints() / name for name in WEIGHTS):
        try:
            torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise UserError(f"{file} is not a file of weights ({type(error).__name__}): save it again") from error
    with torch.random.fork_rng(devices=[]):  # it is initialized at random before its weights are read
        return SampleSimilarityLPIPS("lpips")


def perceptual_distance(image: Tensor, truth: Tensor) -> float | None:
    """LPIPS of two images (C, H, W) in 0..1, at their own size; 0 for equal images."""
    x, y = as_rgb(image), as_rgb(truth)
    if x is None or y is None:
        return None
    with exact():
        return float(_network()(x[None] * 255, y[None] * 255))


LPIPS = Metric(
    "lpips",
    "lpips_vgg16",
    "LPIPS (VGG16)",
    Needs.PAIR,
    perceptual_distance,
    (0, 10),
    higher_is_better=False,
    smallest_image=16,  # VGG16 halves the image four times
    digits=3,
    require=require,
)
