"""Checks of CUDA graphs (--cuda_graph): the same losses and updates as without graphs, in less time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scripts.benchmarks import device_time
from scripts.gpu_checks.setting import CheckFailed, Setting, largest_difference, take_step

STEPS = 8  # the first ones warm up, the others are replayed
LOSSES = 1e-5  # largest relative difference of losses
UPDATES = 0.1  # largest difference of what the steps change in the weights, relative to that change
NOISE = 2  # or so many times the difference between two runs without graphs, if that is more

# So small that float32 weights do not change: then all losses are those of the initial weights, and differences of
# rounding do not grow from step to step.
NO_RATE = ("--lr", "1e-30")


def graph_check(*flags: str, least_speed: float = 0) -> Callable[[Setting], str]:
    """A check of steps with graphs against the same steps without. `least_speed`: the least ratio of the times."""

    def check(setting: Setting) -> str:
        off, on = (*flags, "--cuda_graph", "off"), (*flags, "--cuda_graph", "on")
        losses = compare_losses(setting, off, on)
        noise, updates = compare_updates(setting, off, on)
        limit = max(UPDATES, NOISE * noise)
        seconds = [step_seconds(setting, *flags) for flags in (off, on)]
        speed = seconds[0] / seconds[1]
        said = (
            f"losses within {losses:.0e}, updates within {updates:.0e} (two runs without graphs: {noise:.0e}), "
            f"{1e3 * seconds[1]:.1f} ms a step instead of {1e3 * seconds[0]:.1f} ({speed:.2f} times as fast)"
        )
        if losses > LOSSES or updates > limit or speed < least_speed:
            raise CheckFailed(f"{said}; the limits are {LOSSES:g}, {limit:g} and {least_speed:g} times")
        return said

    return check


def compare_losses(setting: Setting, off: tuple[str, ...], on: tuple[str, ...]) -> float:
    """The largest relative difference of the losses of steps on different images, with the initial weights."""
    models = [setting.build(*flags, *NO_RATE) for flags in (off, on)]
    pairs = [[setting.step(model, seed) for model in models] for seed in range(STEPS)]
    require_graphs(models[1])
    return max(largest_difference(graphed, plain) for plain, graphed in pairs)


def compare_updates(setting: Setting, off: tuple[str, ...], on: tuple[str, ...]) -> tuple[float, float]:
    """The distances from the weights of steps without graphs: of another such run, and of one with graphs.

    Both are relative to what the steps change. Steps on a GPU are not exactly the same each time: atomic additions have
    no order. Biases do not count: before an instance norm, their gradient is rounding noise, which Adam turns into full
    steps.
    """
    before, after = None, []
    for flags in (off, off, on):
        model = setting.build(*flags)
        before = weights_of(model)
        for seed in range(STEPS):
            setting.step(model, seed)
        after.append(weights_of(model))
    require_graphs(model)
    assert before is not None
    noise, difference = (float((weights - after[0]).norm() / (after[0] - before).norm()) for weights in after[1:])
    return noise, difference


def weights_of(model: Any) -> Tensor:
    """All weights without biases, as one vector."""
    parameters = [p for network in model.networks().values() for p in network.parameters() if p.dim() > 1]
    return torch.cat([parameter.detach().flatten() for parameter in parameters]).double()


def require_graphs(model: Any) -> None:
    """Raise CheckFailed if steps of the model were not replayed from graphs."""
    step = model.training_step
    if not model.uses_graphs or step.is_given_up or step.current is None:
        raise CheckFailed(f"steps run without graphs: {model.why_no_graphs() or 'see the note above'}")


def step_seconds(setting: Setting, *flags: str) -> float:
    model = setting.build(*flags)
    batch = setting.batch(model)

    def run() -> None:
        take_step(model, batch)

    device_time.seconds(run, setting.device, STEPS)
    return device_time.seconds(run, setting.device, setting.steps)
