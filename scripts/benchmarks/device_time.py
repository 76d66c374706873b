"""Measures a repeated computation: seconds of the host and of the GPU, kernels, waits and memory.

On a CPU, only the seconds are measured: the host itself computes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]


def wait_for(device: torch.device) -> None:
    """Wait until the GPU has finished all queued operations."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Run, device: torch.device, repeats: int) -> float:
    """Mean seconds of a run, over several runs without a pause between them, as in training."""
    wait_for(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    wait_for(device)
    return (time.perf_counter() - start) / repeats


def host_seconds(run: Run, device: torch.device, repeats: int) -> float:
    """Mean seconds in which the host queues the operations of a run, if the GPU's queue is empty at its start.

    A queue has about 1,000 places: in a long step, the host waits for them, and this approaches the time of the GPU.
    """
    total = 0.0
    for _ in range(repeats):
        wait_for(device)
        start = time.perf_counter()
        run()
        total += time.perf_counter() - start
    wait_for(device)
    return total / repeats


def waits(run: Run, device: torch.device) -> int:
    """How often the host waits for the GPU during a run, as torch.cuda.set_sync_debug_mode counts it; 0 on a CPU."""
    if device.type != "cuda":
        return 0
    wait_for(device)
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    return sum("called a synchronizing" in str(warning.message) for warning in caught)


def kernels(run: Run, device: torch.device) -> dict[str, float]:
    """Number of "kernels" of a run, copies included, and "busy": seconds in which at least one of them ran.

    Kernels that a CUDA graph launches count, too. Empty on a CPU.
    """
    if device.type != "cuda":
        return {}
    wait_for(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        run()
        wait_for(device)
    found = [event.time_range for event in record.events() if is_kernel(event)]
    return {"kernels": len(found), "busy": covered((span.start, span.end) for span in found) / 1e6}


def reserved_bytes(run: Run, device: torch.device) -> int:
    """The bytes that the process needs on a GPU for a run, including weights and the memory of graphs.

    Memory that torch holds for graphs is not counted as allocated, so this is the memory that torch has reserved.
    """
    wait_for(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    run()
    wait_for(device)
    return torch.cuda.max_memory_reserved(device)


def is_kernel(event: Any) -> bool:
    """Whether an event of the profiler is an operation on the GPU, not an annotated span of several."""
    return event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
