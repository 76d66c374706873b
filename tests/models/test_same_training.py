"""Options for speed and memory do not change training: losses of the first step agree, those of 20 steps on average."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch

from data import create_dataset
from models import create_model
from tests.conftest import Options

Losses = list[dict[str, float]]
STEPS = 20
# The options, and the relative tolerance of the losses of the first step.
FLAGS = {
    "winograd": (["--conv", "winograd"], 1e-4),
    "direct": (["--conv", "direct"], 1e-5),
    "recomputed": (["--grad_checkpoint"], 1e-6),
    "in parts": (["--accumulate", "2"], 1e-5),
    "channels last": (["--channels_last"], 1e-5),
    "tf32": (["--precision", "tf32"], 1e-5),
    "bf16": (["--precision", "bf16"], 0.05),
    "compiled": (["--compile"], 1e-4),
}
Train = Callable[..., Losses]


@pytest.fixture
def train(options: Options) -> Train:
    def train(*flags: str, seed: int = 1) -> Losses:
        opt = options("--batch_size", 2, "--seed", seed, "--lr", 0.001, *flags)
        torch.manual_seed(seed)
        model = create_model(opt)
        model.setup(opt)
        dataset, losses = create_dataset(opt), []
        for epoch in range(1, STEPS + 1):
            dataset.set_epoch(epoch)
            for batch in dataset:
                model.set_input(batch)
                model.optimize_parameters()
                losses.append(model.get_current_losses())
            if len(losses) >= STEPS:
                break
        return losses[:STEPS]

    return train


def means(losses: Losses) -> dict[str, float]:
    return {name: sum(step[name] for step in losses) / len(losses) for name in losses[0]}


@pytest.fixture
def plain(train: Train) -> list[Losses]:
    """The losses of training without these options, for four seeds."""
    return [train(seed=seed) for seed in range(1, 5)]


def check(name: str, train: Train, plain: list[Losses]) -> None:
    flags, tolerance = FLAGS[name]
    losses = train(*flags)
    assert losses[0] == pytest.approx(plain[0][0], rel=tolerance), name
    by_seed, found = [means(run) for run in plain], means(losses)
    for loss in found:
        spread = max(mean[loss] for mean in by_seed) - min(mean[loss] for mean in by_seed)
        assert abs(found[loss] - by_seed[0][loss]) <= spread, (name, loss)


def test_flags_give_equivalent_training(train: Train, plain: list[Losses]) -> None:
    for name in FLAGS.keys() - {"compiled"}:
        check(name, train, plain)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="torch.compile needs a compiler")
def test_compiled_networks_give_equivalent_training(train: Train, plain: list[Losses]) -> None:
    check("compiled", train, plain)
