"""The time of a computation by kind of operator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

# An operator belongs to the first kind with a word that its name contains.
KINDS = {
    "direct convolution": ("conv",),
    "norms": ("norm",),
    "matrix products": ("linear", "mm", "matmul"),
    "copies and padding": ("copy", "clone", "pad", "contiguous", "cat", "fill", "zero", "_to_"),
    "activations": ("relu", "threshold", "tanh"),
    "optimizers": ("adam",),
}
OTHERS = "others"
TRANSFORMS, PRODUCTS = "Winograd transforms", "Winograd products"
MAX_TRANSFORM_ROWS = 36  # rows of the largest transform matrix in models/networks/winograd.py


def seconds_by_kind(run: Callable[[], object]) -> dict[str, float]:
    """Seconds of operators, without those that they call, by kind; on a GPU, device time."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profile(activities=activities, record_shapes=True) as record:
        run()
    return sum_by_kind(record.key_averages(group_by_input_shape=True))


def sum_by_kind(averages: Iterable[Any]) -> dict[str, float]:
    """Seconds of the profiler's averages of operators by kind: of the device, if any has used it."""
    # Kernels are events of their own; their time is also that of the operators that launched them.
    events = [event for event in averages if event.device_type == DeviceType.CPU]
    on_device = sum(event.self_device_time_total for event in events) > 0
    seconds: dict[str, float] = defaultdict(float)
    for event in events:
        time = event.self_device_time_total if on_device else event.self_cpu_time_total
        seconds[kind_of(event.key, event.input_shapes)] += time / 1e6
    return dict(seconds)


def kind_of(operator: str, shapes: Sequence[Sequence[int]]) -> str:
    """The kind of an operator, from its name and the shapes of its inputs."""
    name = operator.lower()
    if "linear_pointwise" in name:
        return TRANSFORMS if shapes[0][0] <= MAX_TRANSFORM_ROWS else PRODUCTS
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), OTHERS)
