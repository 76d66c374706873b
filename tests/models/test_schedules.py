"""Learning-rate policies and schedules, against expected values."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
import torch
from torch.optim import Adam

from models import create_model, lr_policies
from models.schedules import Schedule
from tests.conftest import Options
from util.errors import UserError


def scheduled(**changed: Any) -> tuple[Adam, Schedule]:
    """An optimizer and its schedule, with small round default settings."""
    settings = {"epoch_count": 1, "n_epochs": 3, "n_epochs_decay": 4, "lr_decay_iters": 2, "lr": 1.0, "beta1": 0.5}
    settings |= changed
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = Adam([weight], lr=settings["lr"], betas=(settings["beta1"], 0.999))
    return optimizer, Schedule(optimizer, argparse.Namespace(**settings))


def rates(epochs: int, **changed: Any) -> list[float]:
    """The optimizer's learning rate in each epoch of a run."""
    optimizer, schedule = scheduled(**changed)
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        schedule.step(1.0)
    return seen


def test_linear_is_constant_and_then_decays() -> None:
    # Epochs 1 to 3 have the initial rate; it decays in epochs 4 to 7, and is 0 in epoch 8.
    assert rates(8, lr_policy="linear") == pytest.approx([1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0])


def test_linear_with_default_options() -> None:
    opt = argparse.Namespace(lr_policy="linear", n_epochs=100, n_epochs_decay=100)
    assert [lr_policies.linear(opt, epoch, 1) for epoch in (0, 99, 100, 199)] == pytest.approx(
        [1, 1, 100 / 101, 1 / 101]
    )


def test_linear_starts_at_epoch_count() -> None:
    assert rates(3, lr_policy="linear", epoch_count=5) == pytest.approx([0.6, 0.4, 0.2])


def test_step_multiplies_by_a_tenth_after_each_interval() -> None:
    assert rates(6, lr_policy="step") == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_decays_to_zero_and_stays() -> None:
    assert rates(7, lr_policy="cosine", n_epochs=4) == pytest.approx([1, 0.853553, 0.5, 0.146447, 0, 0, 0], abs=1e-6)


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(UserError, match="--lr_policy sawtooth is unknown: choose one of linear, step, plateau, cosine"):
        rates(1, lr_policy="sawtooth")


def test_plateau_monitors_the_mean_generator_loss_of_an_epoch(options: Options) -> None:
    opt = options("--lr_policy", "plateau", "--lr", "1", "--ngf", "1", "--ndf", "1")
    model = create_model(opt)
    model.setup(opt)

    def epoch(*losses: float) -> float:
        for loss in losses:
            model.epoch_loss.add(torch.tensor(loss), torch.tensor(True))
        for optimizer in model.optimizers.values():
            optimizer.step()
        model.update_learning_rate()
        return model.learning_rate

    assert epoch(3.0, 5.0) == 1  # mean 4
    # An improvement below 1 % does not count; after six such epochs the rate is multiplied by 0.2.
    assert [epoch(4.0, 3.94) for _ in range(6)] == pytest.approx([1, 1, 1, 1, 1, 0.2])
    assert epoch(3.0) == pytest.approx(0.2)  # an improvement resets the patience
    assert [epoch(9.0) for _ in range(6)] == pytest.approx([0.2] * 5 + [0.04])
    assert all(o.param_groups[0]["lr"] == pytest.approx(0.04) for o in model.optimizers.values())


def settings(**changed: Any) -> argparse.Namespace:
    defaults = {"epoch_count": 1, "n_epochs": 1, "n_epochs_decay": 3, "lr_policy": "linear"}
    return argparse.Namespace(**defaults | changed)


def parameters(count: int) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(1)) for _ in range(count)]


def test_every_parameter_group_keeps_its_own_rate_and_betas() -> None:
    slow, fast = parameters(2)
    groups = [{"params": [slow], "lr": 0.1, "betas": (0.3, 0.8)}, {"params": [fast]}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95), weight_decay=0.2)
    schedule = Schedule(optimizer, settings())
    schedule.step(0.0)
    schedule.step(0.0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.5])
    assert [group["betas"] for group in optimizer.param_groups] == [(0.3, 0.8), (0.9, 0.95)]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.2]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.Rprop])
def test_any_optimizer_is_scheduled(kind: type[torch.optim.Optimizer]) -> None:
    optimizer = kind(parameters(1), lr=0.4)
    schedule = Schedule(optimizer, settings())
    schedule.step(0.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3)
    again = kind(parameters(1), lr=0.4)
    restored = Schedule(again, settings())
    again.load_state_dict(optimizer.state_dict())
    restored.load_state_dict(schedule.state_dict())
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_plateau_reduces_each_group_and_is_restored() -> None:
    def build() -> tuple[torch.optim.Optimizer, Schedule]:
        one, other = parameters(2)
        optimizer = torch.optim.SGD([{"params": [one], "lr": 0.1}, {"params": [other], "lr": 1.0}])
        return optimizer, Schedule(optimizer, settings(lr_policy="plateau"))

    optimizer, schedule = build()
    for _ in range(8):
        schedule.step(1.0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.2])
    again, restored = build()
    restored.load_state_dict(schedule.state_dict())
    assert [group["lr"] for group in again.param_groups] == [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("policy", ["linear", "plateau"])
def test_warm_up_is_linear_and_then_the_policy_applies(policy: str) -> None:
    optimizer = torch.optim.SGD(parameters(1), lr=1.0)
    schedule = Schedule(optimizer, settings(lr_policy=policy, lr_warmup=4))
    seen = []
    for number in range(1, 7):
        schedule.begin_step(number)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    schedule.step(1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.75 if policy == "linear" else 1)


# Resuming.


def restored(epochs: int, before: dict[str, Any], after: dict[str, Any], measure: float = 1.0) -> Adam:
    """The optimizer of a run that is resumed with changed options after `epochs` epochs."""
    optimizer, schedule = scheduled(**before)
    for _ in range(epochs):
        schedule.step(measure)
    resumed, its_schedule = scheduled(**after)
    resumed.load_state_dict(optimizer.state_dict())
    its_schedule.load_state_dict(schedule.state_dict())
    return resumed


@pytest.mark.parametrize("policy", ["linear", "step", "cosine", "plateau"])
def test_restored_rates_are_bit_identical(policy: str) -> None:
    for epochs in range(8):
        optimizer, schedule = scheduled(lr_policy=policy, lr=0.0003)
        for _ in range(epochs):
            schedule.step(1.0)
        resumed = restored(epochs, {"lr_policy": policy, "lr": 0.0003}, {"lr_policy": policy, "lr": 0.0003})
        assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_changed_n_epochs_applies_to_a_resumed_run() -> None:
    # After 5 epochs of 3 + 4 the rate is 0.4; of 8 + 4 it is still 1.
    assert restored(5, {"lr_policy": "linear"}, {"lr_policy": "linear"}).param_groups[0]["lr"] == pytest.approx(0.4)
    longer = restored(5, {"lr_policy": "linear"}, {"lr_policy": "linear", "n_epochs": 8})
    assert longer.param_groups[0]["lr"] == 1


def test_changed_lr_and_beta1_apply_to_a_resumed_run() -> None:
    changed = restored(5, {"lr_policy": "linear"}, {"lr_policy": "linear", "lr": 0.5, "beta1": 0.9})
    assert changed.param_groups[0]["lr"] == pytest.approx(0.2)
    assert changed.param_groups[0]["betas"] == (0.9, 0.999)
    # Eight epochs without improvement: the rate is a fifth of the initial one, which --lr halves.
    plateau = restored(8, {"lr_policy": "plateau"}, {"lr_policy": "plateau", "lr": 0.5})
    assert plateau.param_groups[0]["lr"] == pytest.approx(0.1)


def test_changed_policy_applies_from_the_current_epoch() -> None:
    assert restored(5, {"lr_policy": "linear"}, {"lr_policy": "step"}).param_groups[0]["lr"] == pytest.approx(0.01)
    assert restored(8, {"lr_policy": "plateau"}, {"lr_policy": "linear"}).param_groups[0]["lr"] == 0
