"""Collectives of several processes: how they fail, and how the process groups end. Whole jobs: test_torchrun.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace
from typing import NoReturn

import pytest
import torch
import torch.distributed as dist

from util.errors import CollectiveFailed, ProcessLost
from util.runtime import processes
from util.runtime.processes import Bucket, Processes, Reduction, shut_down

NCCL = "NCCL error in: /pytorch/NCCLUtils.hpp:317, {0}, NCCL version 2.27.3\n{1}\nLast error:\n{2}"
DUPLICATE = NCCL.format(
    "invalid usage (run with NCCL_DEBUG=WARN for details)", "ncclInvalidUsage: ...", "Duplicate GPU"
)
REMOTE = NCCL.format("remote process exited or there was a network error", "ncclRemoteError: ...", "Connection reset")


def raising(error: Exception) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RuntimeError("[gloo/pair.cc:534] Connection closed by peer [127.0.0.1]"), ProcessLost, "has ended or is not"),
        (dist.DistBackendError(REMOTE), ProcessLost, "has ended or is not"),
        (dist.DistNetworkError("failed to recv, got 0 bytes"), ProcessLost, "has ended or is not"),
        (
            dist.DistBackendError(DUPLICATE + "\nException raised from x at y.cpp:1\nframe #0"),
            CollectiveFailed,
            r"^NCCL failed: .*Duplicate GPU; the last checkpoint is intact, .*NCCL_DEBUG=INFO in the environment$",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), torch.OutOfMemoryError, "CUDA out of memory"),
        (RuntimeError("CUDA error: device-side assert triggered"), RuntimeError, "^CUDA error: device-side"),
        (ValueError("a bug"), ValueError, "^a bug$"),
    ],
    ids=["gloo", "nccl, remote", "store", "nccl", "memory", "cuda", "bug"],
)
def test_failures_of_collectives(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], message: str
) -> None:
    monkeypatch.setattr(dist, "all_gather", lambda *arguments: raising(error))
    with pytest.raises(kind, match=message) as caught:
        Processes(rank=0, world_size=2).barrier()
    assert type(caught.value) is kind
    waiting = SimpleNamespace(wait=lambda: raising(error))
    with pytest.raises(kind, match=message):
        Reduction([Bucket([torch.zeros(1)], torch.zeros(1), waiting)]).finish()  # type: ignore[arg-type]


def test_buckets() -> None:
    size = processes.BUCKET_BYTES // 4
    small, large, rest = torch.zeros(size - 1), torch.zeros(3, size), torch.zeros(5)
    found = processes._buckets([small, rest, large, rest, rest])
    assert [[len(tensor) for tensor in bucket] for bucket in found] == [[size - 1, 5], [3], [5, 5]]
    assert processes._buckets([]) == []


@pytest.fixture
def both_backends() -> Iterator[None]:
    """A process group as on a machine with CUDA: gloo for CPU tensors, and another backend for those of CUDA."""
    from torch.testing._internal.distributed import fake_pg  # noqa: F401  # registers the backend "fake"

    dist.init_process_group("cpu:gloo,cuda:fake", store=dist.HashStore(), rank=0, world_size=1)
    dist.new_group()
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def test_both_backends_end_without_waiting(both_backends: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(dist, "destroy_process_group", lambda: pytest.fail("waits for other ranks"))
        shut_down()
    assert not dist.is_initialized()
    shut_down()  # nothing left


def test_both_backends_end_in_order_if_all_ranks_do(both_backends: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        dist.distributed_c10d, "_abort_process_group", lambda: pytest.fail("collectives of others may still run")
    )
    shut_down(orderly=True)
    assert not dist.is_initialized()


def test_an_abort_that_hangs_does_not_keep_the_program(both_backends: None, monkeypatch: pytest.MonkeyPatch) -> None:
    never = Event()
    monkeypatch.setattr(dist.distributed_c10d, "_abort_process_group", never.wait)
    monkeypatch.setattr(processes, "ABORT_SECONDS", 0.05)
    start = time.monotonic()
    shut_down()
    assert time.monotonic() - start < 5
    never.set()


def test_a_request_of_one_process_stops_it_immediately() -> None:
    alone = Processes()
    assert alone.exchange_step(3, 17) == ([3], True)
    assert [alone.stop_requested(own) for own in (False, True)] == [False, True] and alone.steps_to_stop == 0
