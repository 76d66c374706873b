"""The most memory that a computation takes at one moment, in tensors.

On a CPU it is what torch's allocator was asked for, as torch's profiler records it, request by request: buffers that
operators take for a moment count, and what the C library keeps of freed memory does not. On CUDA it is the allocator's
own count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile


def peak_bytes(run: Callable[[], object], kept: Callable[[], Iterable[Tensor]], device: torch.device) -> int:
    """The most bytes that tensors made by `run` take at one moment, without those of `kept`, asked when it is over.

    On CUDA what was there before counts as well, and of `kept` all counts as there from the start.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - sum(tensor.nbytes for tensor in kept())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    left_out = {tensor.untyped_storage().data_ptr() for tensor in kept()}
    assert record.profiler is not None and record.profiler.kineto_results is not None
    requests = _requests(record.profiler.kineto_results.experimental_event_tree())
    return _most_at_once(sorted(requests, key=lambda request: request[0]), left_out)


Request = tuple[int, int, int]  # when, the address, how many bytes; negative: given back


def _requests(events: Iterable[Any]) -> Iterator[Request]:
    for event in events:
        kind, fields = event.typed
        if kind == _EventType.Allocation:
            yield event.start_time_ns, fields.ptr, fields.alloc_size
        yield from _requests(event.children)


def _most_at_once(requests: list[Request], left_out: set[int]) -> int:
    """What is live at an address of `left_out` when all is over does not count."""
    last = {address: place for place, (_, address, size) in enumerate(requests) if size > 0 and address in left_out}
    live: dict[int, int] = {}
    now = most = 0
    for place, (_, address, size) in enumerate(requests):
        if size < 0:
            now -= live.pop(address, 0)  # 0: from before
        elif last.get(address) != place:
            live[address] = size
            now += size
            most = max(most, now)
    return most
