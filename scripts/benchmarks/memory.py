"""Peak tensor memory of a computation.

On a CPU, this is the sum of the live allocations of torch's allocator, as torch's profiler records them. Temporary
buffers of operators count; freed memory that the C library keeps does not. On CUDA, it is the allocator's own count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile


def peak_bytes(run: Callable[[], object], kept: Callable[[], Iterable[Tensor]], device: torch.device) -> int:
    """Peak bytes of tensors allocated by `run`, without the tensors in `kept`, which is called after `run`.

    On CUDA, tensors from before `run` also count, and all of `kept` is treated as allocated from the start.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - sum(tensor.nbytes for tensor in kept())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    excluded = {tensor.untyped_storage().data_ptr() for tensor in kept()}
    assert record.profiler is not None and record.profiler.kineto_results is not None
    requests = _requests(record.profiler.kineto_results.experimental_event_tree())
    return _peak(sorted(requests, key=lambda request: request[0]), excluded)


Request = tuple[int, int, int]  # time in ns, address, bytes (negative: freed)


def _requests(events: Iterable[Any]) -> Iterator[Request]:
    for event in events:
        kind, fields = event.typed
        if kind == _EventType.Allocation:
            yield event.start_time_ns, fields.ptr, fields.alloc_size
        yield from _requests(event.children)


def _peak(requests: list[Request], excluded: set[int]) -> int:
    """Peak bytes; tensors that are still live at the end, at an address in `excluded`, do not count."""
    last = {address: place for place, (_, address, size) in enumerate(requests) if size > 0 and address in excluded}
    live: dict[int, int] = {}
    now = peak = 0
    for place, (_, address, size) in enumerate(requests):
        if size < 0:
            now -= live.pop(address, 0)  # 0: allocated before the recording
        elif last.get(address) != place:
            live[address] = size
            now += size
            peak = max(peak, now)
    return peak
