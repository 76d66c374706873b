"""The samples of each batch, as (epoch, index): shuffled by the seed for training, in order otherwise."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from util.runtime.processes import Processes, processes
from util.stage import Stage


class EpochBatches:
    """The (epoch, index) pairs of each batch of an epoch, shuffled anew in every epoch according to the seed.

    `batch_size` is that of each process. P processes share the batches that one process would have with P times the
    batch size, so that each image is used once. In the last batch of an epoch, a process without an image receives a
    spare one, which is not counted.
    """

    def __init__(
        self, size: int, batch_size: int, shuffle: bool, seed: int, all_processes: Processes | None = None
    ) -> None:
        self.size, self.shuffle, self.seed = size, shuffle, seed
        self.processes = all_processes or Processes()
        self.batch_size = batch_size * self.processes.world_size  # of all processes
        self.epoch, self.start = 1, 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.arange(self.size)
        if self.shuffle:
            # Torch's generator uses only 32 bits of a seed. Samples use the seeds (seed, epoch, index < size).
            order = np.random.default_rng((self.seed, self.epoch, self.size)).permutation(self.size)
        for first in range(self.start, self.size, self.batch_size):
            batch = order[first : first + self.batch_size]
            share = self.processes.shard(batch)
            yield [(self.epoch, int(index)) for index in (share if len(share) else batch[:1])]

    def is_spare(self, number: int) -> bool:
        """Whether the batch of that number, counted from `start`, consists of a spare image."""
        left = self.size - self.start - number * self.batch_size
        return left <= self.processes.rank and left < self.batch_size

    def __len__(self) -> int:
        return -(-(self.size - self.start) // self.batch_size)


class SequentialBatches(EpochBatches):
    """The first `size` samples in order, once; each of several processes has a contiguous share of them."""

    def __init__(self, size: int, batch_size: int, all_processes: Processes) -> None:
        share = all_processes.shard(range(size))
        self.first: int = share.start
        super().__init__(len(share), batch_size, shuffle=False, seed=0)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in super().__iter__():
            yield [(epoch, self.first + index) for epoch, index in batch]


def create_sampler(size: int, opt: argparse.Namespace, stage: Stage) -> EpochBatches:
    """The batches of a dataset with `size` samples; testing ends after --num_test samples."""
    if stage is Stage.TRAIN:
        return EpochBatches(size, opt.batch_size, not opt.serial_batches, opt.seed, processes())
    limit = getattr(opt, "num_test", size) if stage is Stage.TEST else size
    return SequentialBatches(min(limit, size), opt.batch_size, processes())
