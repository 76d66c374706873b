"""Learning rates of each policy, against numbers written by hand."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
import torch
from torch.optim import SGD

from models import create_model
from models.schedules import create_scheduler, lr_factor
from tests.conftest import Options


def rates(epochs: int, **changed: Any) -> list[float]:
    """The learning rate in each epoch of a run, by way of its optimizer."""
    settings = {"epoch_count": 1, "n_epochs": 3, "n_epochs_decay": 4, "lr_decay_iters": 2} | changed
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = create_scheduler(optimizer, argparse.Namespace(**settings))
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_linear_holds_and_then_falls_evenly() -> None:
    # Epochs 1, 2, 3 at the initial rate; 4 to 7 fall, and an eighth would be at 0.
    assert rates(8, lr_policy="linear") == pytest.approx([1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0])


def test_linear_of_the_defaults() -> None:
    opt = argparse.Namespace(lr_policy="linear", epoch_count=1, n_epochs=100, n_epochs_decay=100)
    assert [lr_factor(opt, epoch) for epoch in (0, 99, 100, 199)] == pytest.approx([1, 1, 100 / 101, 1 / 101])


def test_linear_goes_on_where_epoch_count_says() -> None:
    assert rates(3, lr_policy="linear", epoch_count=5) == pytest.approx([0.6, 0.4, 0.2])


def test_step_takes_a_tenth_at_every_interval() -> None:
    assert rates(6, lr_policy="step") == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_to_zero_and_stays_there() -> None:
    assert rates(7, lr_policy="cosine", n_epochs=4) == pytest.approx([1, 0.853553, 0.5, 0.146447, 0, 0, 0], abs=1e-6)


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(ValueError, match="sawtooth"):
        rates(1, lr_policy="sawtooth")


def test_plateau_looks_at_the_epochs_mean_generator_loss(options: Options) -> None:
    opt = options("--lr_policy", "plateau", "--lr", "1", "--ngf", "1", "--ndf", "1")
    model = create_model(opt)
    model.setup(opt)

    def epoch(*losses: float) -> float:
        for loss in losses:
            model.epoch_loss.add(torch.tensor(loss))
        for optimizer in model.optimizers.values():
            optimizer.step()
        model.update_learning_rate()
        return model.learning_rate

    assert epoch(3.0, 5.0) == 1  # a mean of 4
    # Less than 1 % better does not count; the sixth such epoch takes a fifth.
    assert [epoch(4.0, 3.94) for _ in range(6)] == pytest.approx([1, 1, 1, 1, 1, 0.2])
    assert epoch(3.0) == pytest.approx(0.2)  # better: patience anew
    assert [epoch(9.0) for _ in range(6)] == pytest.approx([0.2] * 5 + [0.04])
    assert all(o.param_groups[0]["lr"] == pytest.approx(0.04) for o in model.optimizers.values())
