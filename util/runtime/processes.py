"""The processes that train, or test, one model together: as torchrun starts them, or this one alone.

    torchrun --nproc_per_node=2 train.py --dataroot horse2zebra

Each has the whole model and a share of every batch. Only the first writes files and speaks.
"""

from __future__ import annotations

import atexit
import datetime
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from util.errors import ProcessLost, UserError, started_first

LONGEST_WAIT = datetime.timedelta(minutes=30)  # for the others, as for one that writes a checkpoint to a slow disk


class Processes:
    """How many there are, which of them this is, and what they do together; alone, everything is its own."""

    def __init__(self, rank: int = 0, count: int = 1, local_rank: int = 0, store: dist.Store | None = None) -> None:
        """`store`: what all of them write to and read, without waiting for each other."""
        self.rank, self.count, self.local_rank, self.store = rank, count, local_rank, store

    @property
    def on_this_machine(self) -> int:
        """How many of them share its memory."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.count > 1 else 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, items: Any) -> Any:
        """Of a sequence that all processes hold alike, this one's part: as even a split as there is, in order."""
        each, more = divmod(len(items), self.count)
        start = self.rank * each + min(self.rank, more)
        return items[start : start + each + (self.rank < more)]

    def counts(self, own: int) -> list[int]:
        """What number each process gives, in their order; waits for all of them, but not for a GPU."""
        if self.count == 1:
            return [own]
        every = [torch.zeros((), dtype=torch.int64) for _ in range(self.count)]
        with _lost_processes_named():
            dist.all_gather(every, torch.tensor(own))
        return [int(number) for number in every]

    def any(self, wish: bool) -> bool:
        """Whether one of them wishes so."""
        return any(self.counts(int(wish)))

    def wait(self) -> None:
        """Wait until all have come so far."""
        self.counts(0)

    def average(self, tensors: Sequence[Tensor], weight: float, total: float) -> None:
        """Replace tensors of one type by their weighted means over the processes, in one exchange."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        flat = flat * (weight / total) if weight else torch.zeros_like(flat)  # even if a spare image gave infinities
        with _lost_processes_named():
            dist.all_reduce(flat)
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def gather(self, images: Tensor, counts: Sequence[int]) -> Tensor:
        """The images (N, C, H, W) of all processes, in their order, of which each gives as many as `counts` says."""
        if self.count == 1:
            return images
        padded = images.new_zeros(max(counts), *images.shape[1:])
        padded[: counts[self.rank]] = images[: counts[self.rank]]
        every = [torch.empty_like(padded) for _ in counts]
        with _lost_processes_named():
            dist.all_gather(every, padded)
        return torch.cat([some[:count] for some, count in zip(every, counts, strict=True)])

    def gather_objects(self, thing: Any) -> list[Any]:
        """The Python objects of all processes, in their order."""
        if self.count == 1:
            return [thing]
        every: list[Any] = [None] * self.count
        with _lost_processes_named():
            dist.all_gather_object(every, thing)
        return every

    def require_same(self, thing: Any, remedy: str) -> None:
        """Raise UserError, with this remedy, unless all processes have the same there."""
        if len(set(self.gather_objects(thing))) > 1:
            raise UserError(f"the {self.count} processes do not begin with the same: {remedy}")

    def of_first(self, thing: Any) -> Any:
        """What the first process has there."""
        return self.gather_objects(thing)[0]

    def is_said(self, message: str) -> bool:
        """Whether another process has said this, or is about to; else this one is taken to say it now."""
        try:
            return self.store is not None and self.store.add(f"said: {message}", 1) > 1
        except RuntimeError:  # who keeps the store is gone
            return False

    def seed_step(self, seed: int, step: int) -> None:
        """Start torch's random state anew, other in each process and step.

        So there is nothing to save of it, and a run can go on with another number of processes. Alone, the state runs
        on, and is saved.
        """
        if self.count > 1:
            digest = hashlib.sha256(f"{seed} {step} {self.rank}".encode()).digest()
            torch.manual_seed(int.from_bytes(digest[:7], "little"))


@contextmanager
def _lost_processes_named() -> Iterator[None]:
    """What the libraries raise when another process is gone, in the words of this project."""
    try:
        yield
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()), "").strip()
        raise ProcessLost(
            "another process of this run has ended, or can't be reached, so this one ends too: the last checkpoint "
            f"stands, and --continue_train goes on from it ({reason})"
        ) from error


@cache
def processes() -> Processes:
    """Those that torchrun has started, connected; or this one alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "MASTER_ADDR" not in os.environ:
        return Processes()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        if local_rank < torch.cuda.device_count():
            torch.cuda.set_device(local_rank)
    store, rank, count = next(dist.rendezvous("env://"))
    # Torchrun's store still has the addresses of the processes that it had started before.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = dist.PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=LONGEST_WAIT)
    atexit.register(leave)
    if rank > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # what is said there, the first process says as well
    return Processes(rank, count, local_rank, store)


def is_said_elsewhere(message: str) -> bool:
    """Whether another process says this error: the first, as long as they are not connected, and is the same then."""
    if not (dist.is_available() and dist.is_initialized()):
        return not started_first()
    return processes().is_said(message)


def leave(orderly: bool = False) -> None:
    """End the connection before Python ends: a thread of gloo that still frees a tensor then aborts the process.

    NCCL waits for the other processes there, so that it is left alone where they may not come: unless `orderly`.
    """
    if dist.is_available() and dist.is_initialized() and (orderly or dist.get_backend() == "gloo"):
        with suppress(RuntimeError):
            dist.destroy_process_group()
