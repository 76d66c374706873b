"""Data-parallel processes: those that torchrun starts, or a single process.

    torchrun --nproc_per_node=2 train.py --dataroot horse2zebra

Each rank has a replica of the model and a part of every batch. Only rank 0 writes files and prints.
"""

from __future__ import annotations

import atexit
import datetime
import hashlib
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from threading import Thread
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor

from util.errors import CollectiveFailed, ProcessLost, UserError, is_main_by_environment, is_out_of_memory
from util.runtime import torchrun_job

TIMEOUT = datetime.timedelta(minutes=30)  # of collectives: long enough for a rank that writes to a slow disk
# Of an all-reduce: large enough for full speed, small enough that copying one bucket overlaps with another's exchange.
BUCKET_BYTES = 2**25
ABORT_SECONDS = 10.0
# NCCL's messages if it failed because another process did.
LOST_TO_NCCL = re.compile(r"ncclRemoteError|remote process exited|timeout|timed out", re.IGNORECASE)


OLD_NAMES = {
    "any": "any_rank",
    "average": "all_reduce_mean",
    "count": "world_size",
    "counts": "all_gather_ints",
    "gather": "all_gather",
    "gather_objects": "all_gather_objects",
    "is_first": "is_main",
    "of_first": "broadcast",
    "share": "shard",
    "wait": "barrier",
}


class Bucket(NamedTuple):
    """The tensors of a running all-reduce, their concatenation, which the sum replaces, and the handle to wait for."""

    tensors: list[Tensor]
    flat: Tensor
    work: dist.Work


class Reduction:
    """An all-reduce in the background. The tensors keep the values of this rank until `finish`."""

    def __init__(self, buckets: Sequence[Bucket] = ()) -> None:
        self._buckets = buckets

    def finish(self) -> None:
        """Wait for the means over all ranks and write them to the tensors. On a GPU, the host does not wait."""
        for tensors, flat, work in self._buckets:
            with _named_failure():
                work.wait()
            means = flat.split([tensor.numel() for tensor in tensors])
            torch._foreach_copy_(tensors, [mean.view_as(tensor) for mean, tensor in zip(means, tensors, strict=True)])

    def abandon(self) -> None:
        """Wait until it has ended or failed, at most ABORT_SECONDS. Otherwise its thread may abort Python's exit."""
        for _, _, work in self._buckets:
            with suppress(RuntimeError):
                work.wait(datetime.timedelta(seconds=ABORT_SECONDS))


class Processes:
    """The world size, this process's rank, and collectives, which return their input if there is one process."""

    def __init__(
        self,
        rank: int = 0,
        world_size: int = 1,
        local_rank: int = 0,
        store: dist.Store | None = None,
        gradients: dist.ProcessGroup | None = None,
    ) -> None:
        """`store`: a key-value store of all ranks, which needs no synchronization.

        `gradients`: the process group of all-reduces, if not the default one. With a separate group, other collectives
        on a GPU do not queue behind all-reduces.
        """
        self.rank, self.world_size, self.local_rank, self.store = rank, world_size, local_rank, store
        self._gradients = gradients
        self._own_stop = self._any_stop = False  # see `stop_requested`

    def __getattr__(self, name: str) -> Any:
        """The attributes and methods under their earlier names."""
        if name not in OLD_NAMES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        warnings.warn(f"Processes.{name} is now {OLD_NAMES[name]}", FutureWarning, stacklevel=2)
        return getattr(self, OLD_NAMES[name])

    @property
    def local_world_size(self) -> int:
        """The number of processes on this machine, which share its memory."""
        return torchrun_job.local_processes() if self.world_size > 1 else 1

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def shard(self, items: Any) -> Any:
        """This rank's part of a sequence that is the same on all ranks; parts are consecutive and nearly equal."""
        size, larger = divmod(len(items), self.world_size)  # the first `larger` ranks get one item more
        start = self.rank * size + min(self.rank, larger)
        return items[start : start + size + (self.rank < larger)]

    def all_gather_ints(self, own: int) -> list[int]:
        """All-gather an integer from each rank, in rank order; on the CPU, so that no GPU is synchronized."""
        return [number for (number,) in self._all_gather_rows([own])]

    def _all_gather_rows(self, own: list[int]) -> list[list[int]]:
        if self.world_size == 1:
            return [own]
        gathered = [torch.zeros(len(own), dtype=torch.int64) for _ in range(self.world_size)]
        with _named_failure():
            dist.all_gather(gathered, torch.tensor(own))
        return [row.tolist() for row in gathered]

    def exchange_step(self, images: int, shapes: int) -> tuple[list[int], bool]:
        """The only exchange of integers in a training step, at its start. It also exchanges the stop requests.

        `images` is the number of images of this rank, `shapes` a 32-bit checksum of the shapes of its inputs.
        Returns the number of images of each rank, and whether the shapes are the same on all ranks.
        """
        rows = self._all_gather_rows([images, shapes, int(self._own_stop)])
        counts, all_shapes, stops = zip(*rows, strict=True)
        self._any_stop = any(stops)
        return list(counts), len(set(all_shapes)) == 1

    def stop_requested(self, own: bool) -> bool:
        """Whether to stop after this step, on all ranks. Call it after each step, with the request of this rank.

        A request is exchanged at the start of the next step, and all ranks stop after that step; one process stops
        immediately.
        """
        if self.world_size == 1:
            return own
        self._own_stop = own
        return self._any_stop

    @property
    def steps_to_stop(self) -> int:
        """The number of steps between a stop request and the stop."""
        return int(self.world_size > 1)

    def any_rank(self, wish: bool) -> bool:
        """Whether `wish` is true on any rank."""
        return any(self.all_gather_ints(int(wish)))

    def barrier(self) -> None:
        """A barrier: wait until all ranks call this."""
        self.all_gather_ints(0)

    def all_reduce_mean(self, tensors: Sequence[Tensor], weight: float, total: float) -> None:
        """Replace tensors of one dtype by their weighted means over all ranks.

        `weight` is the weight of this rank, `total` the sum of the weights of all ranks.
        """
        self.start_all_reduce_mean(tensors, weight, total).finish()

    def start_all_reduce_mean(self, tensors: Sequence[Tensor], weight: float, total: float) -> Reduction:
        """Start `all_reduce_mean` in the background, in buckets of about BUCKET_BYTES."""
        if self.world_size == 1:
            return Reduction()
        return Reduction([self._start_bucket(bucket, weight, total) for bucket in _buckets(tensors)])

    def _start_bucket(self, tensors: list[Tensor], weight: float, total: float) -> Bucket:
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        # A rank with weight 0 computes on a spare image, whose gradients may not be finite: zeros replace them.
        flat = flat.mul_(weight / total) if weight else flat.zero_()
        with _named_failure():
            return Bucket(tensors, flat, dist.all_reduce(flat, group=self._gradients, async_op=True))

    def all_gather(self, images: Tensor, counts: Sequence[int]) -> Tensor:
        """All-gather images (N, C, H, W): the first `counts[rank]` images of each rank, in rank order."""
        if self.world_size == 1:
            return images
        padded = images.new_zeros(max(counts), *images.shape[1:])
        padded[: counts[self.rank]] = images[: counts[self.rank]]
        gathered = [torch.empty_like(padded) for _ in counts]
        with _named_failure():
            dist.all_gather(gathered, padded)
        return torch.cat([images[:count] for images, count in zip(gathered, counts, strict=True)])

    def all_gather_objects(self, thing: Any) -> list[Any]:
        """All-gather a Python object from each rank, in rank order."""
        if self.world_size == 1:
            return [thing]
        gathered: list[Any] = [None] * self.world_size
        with _named_failure():
            dist.all_gather_object(gathered, thing)
        return gathered

    def require_same(self, thing: Any, remedy: str) -> None:
        """Raise UserError, with this remedy, if `thing` differs between ranks."""
        if len(set(self.all_gather_objects(thing))) > 1:
            raise UserError(f"the {self.world_size} processes do not start from the same checkpoint: {remedy}")

    def broadcast(self, thing: Any) -> Any:
        """Broadcast a Python object from rank 0."""
        return self.all_gather_objects(thing)[0]

    def is_printed_elsewhere(self, message: str) -> bool:
        """Whether another rank has printed, or will print, this message. If not, this rank has to print it now."""
        try:
            return self.store is not None and self.store.add(f"said: {message}", 1) > 1
        except RuntimeError:  # the process that hosts the store has ended
            return False

    def seed_step(self, seed: int, step: int) -> None:
        """Seed torch's random state by (seed, step, rank), if there are several processes.

        Their random states then need not be saved, and a run can be resumed with a different world size. A single
        process keeps its random state, which checkpoints contain.
        """
        if self.world_size > 1:
            digest = hashlib.sha256(f"{seed} {step} {self.rank}".encode()).digest()
            torch.manual_seed(int.from_bytes(digest[:7], "little"))


def _buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Consecutive tensors, of at least BUCKET_BYTES in each bucket but the last."""
    buckets: list[list[Tensor]] = []
    size = BUCKET_BYTES
    for tensor in tensors:
        if size >= BUCKET_BYTES:
            buckets.append([])
            size = 0
        buckets[-1].append(tensor)
        size += tensor.numel() * tensor.element_size()
    return buckets


@contextmanager
def _named_failure() -> Iterator[None]:
    """Convert exceptions of collectives: ProcessLost if another process has ended, CollectiveFailed if NCCL failed."""
    try:
        yield
    except RuntimeError as error:
        text = str(error).split("Exception raised from")[0]  # without the frames of C++
        if is_out_of_memory(error) or text.startswith("CUDA error"):
            raise
        if isinstance(error, dist.DistBackendError) and "NCCL" in text and not LOST_TO_NCCL.search(text):
            raise CollectiveFailed(
                f"NCCL failed: {' '.join(text.split())}; the last checkpoint is intact, and --continue_train resumes "
                "from it; for NCCL's own log, set NCCL_DEBUG=INFO in the environment"
            ) from error
        reason = next(iter(text.splitlines()), "").strip()
        raise ProcessLost(
            "another process of this run has ended or is not reachable, so this process ends too: the last checkpoint "
            f"is intact, and --continue_train resumes from it ({reason})"
        ) from error


@cache
def processes() -> Processes:
    """The processes that torchrun started, connected on the first call; or a single process."""
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
    # After a restart, torchrun's store still contains the addresses of the previous processes.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = dist.PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    atexit.register(shut_down)
    if rank > 0:
        sys.stdout = open(os.devnull, "w", errors="backslashreplace")  # noqa: SIM115  # rank 0 prints the same
    gradients = cast(dist.ProcessGroup, dist.new_group(timeout=TIMEOUT))
    return Processes(rank, count, local_rank, store, gradients)


def is_reported_elsewhere(message: str) -> bool:
    """Whether another process prints this error. Before the processes are connected, rank 0 prints it."""
    if not (dist.is_available() and dist.is_initialized()):
        return not is_main_by_environment()
    return processes().is_printed_elsewhere(message)


def shut_down(orderly: bool = False) -> None:
    """Destroy the process groups before Python exits; otherwise a gloo thread that frees a tensor may abort it.

    NCCL waits for the other ranks, which may have failed. So unless `orderly` (all ranks get here), NCCL is aborted.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    with suppress(RuntimeError):
        if orderly or dist.get_backend() == "gloo":  # "cpu:gloo,cuda:nccl" on a machine with CUDA
            dist.destroy_process_group()
            return
        # In a thread, because NCCL may wait even when it is aborted. This abandons the groups of all backends.
        abort = Thread(target=dist.distributed_c10d._abort_process_group, daemon=True)
        abort.start()
        abort.join(ABORT_SECONDS)
