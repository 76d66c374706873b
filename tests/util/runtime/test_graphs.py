"""Streams of CUDA graphs, on a stand-in for torch.cuda: what waits for what, and which stream is current afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from util.runtime.graphs import CudaGraphs


class Stream:
    def __init__(self, device: torch.device, name: str = "side") -> None:
        self.index, self.name, self.waits = device.index, name, list[str]()

    def wait_stream(self, other: Stream) -> None:
        self.waits.append(other.name)


class FakeCuda:
    """Two GPUs, of which the first one is current, and the current stream of each."""

    def __init__(self) -> None:
        self.index = 0
        self.streams = [Stream(torch.device("cuda", index), f"stream of {index}") for index in range(2)]

    def current_stream(self, device: torch.device | None = None) -> Stream:
        return self.streams[self.index if device is None else device.index]

    def set_stream(self, stream: Stream) -> None:
        self.index, self.streams[stream.index] = stream.index, stream

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        before, self.index = self.index, device.index
        try:
            yield
        finally:
            self.index = before

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before = self.index, self.streams[stream.index]
        self.set_stream(stream)
        try:
            yield
        finally:
            self.index, self.streams[stream.index] = before

    @contextmanager
    def graph(self, graph: object, *, stream: Stream, **settings: Any) -> Iterator[None]:
        """As torch's: if the function or the end of the capture fails, its stream stays the current one."""
        before = self.streams[stream.index]
        assert self.index == stream.index  # torch waits for the work of the current GPU
        self.set_stream(stream)
        yield
        self.set_stream(before)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    for name in ("current_stream", "set_stream", "device", "stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    for name, value in (("Stream", Stream), ("graph_pool_handle", tuple), ("CUDAGraph", object)):
        monkeypatch.setattr(torch.cuda, name, value)
    return fake


@pytest.mark.parametrize("index", [0, 1])
def test_steps_before_the_capture_wait_for_the_work_of_their_gpu_and_it_for_them(cuda: FakeCuda, index: int) -> None:
    graphs, usual = CudaGraphs(torch.device("cuda", index)), [*cuda.streams]
    with graphs.warm_up():
        assert cuda.current_stream() is graphs.stream
        assert graphs.stream.waits == [f"stream of {index}"]
        assert [stream.waits for stream in usual] == [[], []]  # only after the steps
    assert graphs.stream.waits == [f"stream of {index}"]
    assert [stream.waits for stream in cuda.streams] == [["side"] * (number == index) for number in range(2)]
    assert cuda.index == 0


@pytest.mark.parametrize("fails", [False, True])
def test_a_capture_leaves_gpu_and_stream_as_they_were(cuda: FakeCuda, fails: bool) -> None:
    graphs = CudaGraphs(torch.device("cuda:1"))
    seen = []

    def function() -> str:
        seen.append(cuda.current_stream())
        if fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        return "result"

    if fails:
        with pytest.raises(RuntimeError, match="not permitted"):
            graphs.capture(function)
    else:
        assert graphs.capture(function).result == "result"
    assert seen == [graphs.stream]
    assert [stream.name for stream in cuda.streams] == ["stream of 0", "stream of 1"] and cuda.index == 0
