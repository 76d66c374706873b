"""CUDA graphs (--cuda_graph): a sequence of operations on the GPU, captured once and replayed by a single launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

IS_CHECKED = False  # whether scripts/gpu_check.py has passed on a real GPU: only then does auto use graphs


def automatic_value(device_type: str) -> str:
    """What --cuda_graph auto is on this type of device: on or off."""
    return "on" if IS_CHECKED and device_type == "cuda" else "off"


class Graph(Protocol):
    """Captured operations. `result` is what the captured function returned; its tensors have fixed addresses."""

    result: Any

    def replay(self) -> None:
        """Run the operations again, on the present values of the tensors that they read."""


class Graphs(Protocol):
    """Captures graphs."""

    def warm_up(self) -> Any:
        """A context in which steps run as usual before they are captured."""

    def capture(self, function: Callable[[], Any]) -> Graph:
        """Capture the operations of a function, without running them."""


class CudaGraph:
    """A graph of torch."""

    def __init__(self, graph: torch.cuda.CUDAGraph, result: Any) -> None:
        self.graph, self.result = graph, result

    def replay(self) -> None:
        self.graph.replay()


class CudaGraphs:
    """Captures graphs on one stream, with one memory pool: they have to be replayed in the order of their capture."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """The steps run on the stream of the capture, where autograd then accumulates gradients."""
        usual = torch.cuda.current_stream(self.stream.device)  # not of the current device: it may be another one
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            yield
        usual.wait_stream(self.stream)

    def capture(self, function: Callable[[], Any]) -> CudaGraph:
        graph = torch.cuda.CUDAGraph()
        # Threads that pin memory or save a checkpoint may use the GPU meanwhile.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            result = function()
        return CudaGraph(graph, result)
