"""Checks of training steps: they run, they compute what the CPU computes, and the host never waits for the GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from scripts.benchmarks import device_time
from scripts.gpu_checks.setting import CheckFailed, Setting, largest_difference, take_step

WARM_UP = 5  # steps before the measurement: libraries choose algorithms, graphs are captured, networks compiled

# The largest relative difference of the losses of the first step from those of the CPU in float32. TF32 and fp16 have
# 10 bits of mantissa, bf16 has 7.
TOLERANCES = {"fp32": 1e-4, "tf32_conv": 5e-3, "tf32": 5e-3, "fp16": 5e-3, "bf16": 3e-2}


def step_check(*flags: str, compared: bool = True) -> Callable[[Setting], str]:
    """A check of training steps with these flags of train.py.

    `compared`: whether the losses of the first step are compared with those of the CPU. This is impossible if random
    numbers are drawn on the device, and takes long for large batches.
    """

    def check(setting: Setting) -> str:
        # Before the model is built, because the process keeps the settings of the model that was built last.
        expected = losses_on_cpu(setting, reference_flags(flags)) if compared else None
        with complete_compilation() if "--compile" in flags else nullcontext():
            model = setting.build(*flags)
            losses = setting.step(model)
            said = [compare(losses, expected, model.precision.name)] if expected is not None else []
            return ", ".join([*said, *measure(setting, model)])

    return check


@contextmanager
def complete_compilation() -> Iterator[None]:
    """A context in which too many compilations are an error. Otherwise torch runs the step uncompiled, with a warning.

    The limit counts those of all models of the process, so it starts anew here.
    """
    import torch._dynamo

    torch._dynamo.reset()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield


def compare(losses: dict[str, float], expected: dict[str, float], precision: str) -> str:
    """Raise CheckFailed if the losses differ from the expected ones by more than their precision allows."""
    difference, bound = largest_difference(losses, expected), TOLERANCES[precision]
    if difference > bound:
        raise CheckFailed(f"the first losses differ from those of the CPU by {difference:.1e}, more than {bound:g}")
    return f"first losses within {difference:.0e} of the CPU's"


def reference_flags(flags: tuple[str, ...]) -> tuple[str, ...]:
    """The flags of a first step with the same losses, in float32 and as simple as possible."""
    found, kept = list(flags), []
    while found:
        flag = found.pop(0)
        if flag in ("--precision", "--joint_passes", "--cuda_graph", "--ema_decay"):
            found.pop(0)  # its value
        elif flag not in ("--compile", "--channels_last", "--grad_checkpoint", "--deterministic"):
            kept.append(flag)
    return (*kept, "--precision", "fp32")


@functools.cache
def losses_on_cpu(setting: Setting, flags: tuple[str, ...]) -> dict[str, float]:
    """The losses of the first step on the CPU."""
    on_cpu = setting.on_cpu()
    return on_cpu.step(on_cpu.build(*flags))


def measure(setting: Setting, model: object) -> list[str]:
    """Time, waits, memory and kernels of a model's steps, as texts. Raises CheckFailed if the host waits."""
    batch, device = setting.batch(model), setting.device

    def run() -> None:
        take_step(model, batch)

    for _ in range(WARM_UP if setting.is_gpu else 0):
        run()
    if waits := device_time.waits(run, device):
        raise CheckFailed(f"the host waits {waits} times for the GPU in a step")
    said = [f"{1e3 * device_time.seconds(run, device, setting.steps):.1f} ms a step"]
    setting.step(model)  # raises TrainingDiverged if any number was not finite
    if not setting.is_gpu:
        return said
    found, memory = device_time.kernels(run, device), device_time.reserved_bytes(run, device) / 2**30
    said += [f"host {1e3 * device_time.host_seconds(run, device, 3):.1f} ms", "0 waits", f"{memory:.2f} GiB"]
    return [*said, f"{found['kernels']:.0f} kernels", f"GPU busy {1e3 * found['busy']:.1f} ms"]
