"""Checks of repeated and resumed training: the same bits with --deterministic."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor

from scripts.gpu_checks.setting import CheckFailed, Setting
from util.runs.checkpoint import Checkpoint
from util.runtime.random_state import RandomState

STEPS, STOP = 4, 2
FLAGS = ("--netG", "resnet_6blocks", "--dropout", "--ema_decay", "0.9")  # dropout needs the random state
numbers = count()  # for the names of checkpoints


def resume_check(*flags: str, required: bool) -> Callable[[Setting], str]:
    """A check that training twice, and stopping in between, gives the same bits. `required`: fail if it does not."""

    def check(setting: Setting) -> str:
        whole = train(setting, flags)
        is_equal = {
            "repeated": is_same(whole, train(setting, flags)),
            "resumed": is_same(whole, train(setting, flags, stops=True)),
        }
        said = ", ".join(f"{name}: {'same' if equal else 'different'} bits" for name, equal in is_equal.items())
        if required and not all(is_equal.values()):
            raise CheckFailed(said)
        return said

    return check


def train(setting: Setting, flags: tuple[str, ...], *, stops: bool = False) -> list[Tensor]:
    """The weights and averages after STEPS steps; `stops`: after STOP steps, another model resumes from a file."""
    model = setting.build(*FLAGS, *flags)
    for number in range(STEPS):
        if stops and number == STOP:
            file = setting.folder / f"state_{next(numbers)}.pt"
            Checkpoint(file, states_of(setting, model)).save()
            model = setting.build(*FLAGS, *flags, "--seed", "7")
            Checkpoint(file, states_of(setting, model)).load()
        setting.step(model, seed=number)
    kept = [*model.networks().values(), *model.averages.values()]
    return [value.detach().cpu() for network in kept for value in network.state_dict().values()]


def states_of(setting: Setting, model: Any) -> dict[str, Any]:
    return {**model.state_objects(), "random": RandomState(setting.device)}


def is_same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
