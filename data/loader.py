"""Batches out of a dataset, in an order that follows the seed, with what the workers have to report."""

from __future__ import annotations

import argparse
import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from data.base_dataset import MOST_DRAWS, BaseDataset, Sample
from data.cache import ImageCache, create_cache
from data.fingerprint import Fingerprint, difference, fingerprint
from util.errors import UserError
from util.runtime.processes import Processes, processes

LONGEST_WAIT = 300  # seconds for a batch from a worker; then it is taken to hang, as where shared memory is full
LOOK_AFTER = 5  # seconds of waiting after which torch looks whether its workers are alive
PREFETCH = 4  # batches that a worker is ahead: decoding takes unequal times


class EpochBatches:
    """The places (epoch, index) of each batch of an epoch, in order; shuffled anew in every epoch by the seed.

    Several processes have batches of `batch_size` each: together the batches that one alone would have of as many
    images, each image once. At the end of an epoch, one for whom no image is left gets a spare one, for nothing.
    """

    def __init__(self, size: int, batch_size: int, shuffle: bool, seed: int, together: Processes | None = None) -> None:
        self.size, self.shuffle, self.seed = size, shuffle, seed
        self.processes = together or Processes()
        self.batch_size = batch_size * self.processes.count  # of all processes together
        self.epoch, self.start = 1, 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.arange(self.size)
        if self.shuffle:
            # Not torch's generator, which takes 32 bits of a seed; samples have the states (seed, epoch, index < size).
            order = np.random.default_rng((self.seed, self.epoch, self.size)).permutation(self.size)
        for first in range(self.start, self.size, self.batch_size):
            together = order[first : first + self.batch_size]
            own = self.processes.share(together)
            yield [(self.epoch, int(index)) for index in (own if len(own) else together[:1])]

    def is_spare(self, number: int) -> bool:
        """Whether the batch of that number, counted from `start`, has only a spare image."""
        left = self.size - self.start - number * self.batch_size
        return left <= self.processes.rank and left < self.batch_size

    def __len__(self) -> int:
        return -(-(self.size - self.start) // self.batch_size)


class TestBatches(EpochBatches):
    """The first `size` places in order, once; of several processes, each has its share of them one after another."""

    __test__ = False  # pytest: not a test

    def __init__(self, size: int, batch_size: int, together: Processes) -> None:
        own = together.share(range(size))
        self.first: int = own.start
        super().__init__(len(own), batch_size, shuffle=False, seed=0)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in super().__iter__():
            yield [(epoch, self.first + index) for epoch, index in batch]


def collate(samples: list[Sample]) -> dict[str, Any]:
    """Stack images, list everything else; ground truths, which some samples lack, stay a list too.

    Samples that could not be read leave only their reports.
    """
    batch: dict[str, Any] = {
        "bad_images": [report for sample in samples for report in sample.pop("bad_images")],
        "transparent": any([sample.pop("transparent") for sample in samples]),
        "note": max(sample.pop("note") for sample in samples),
        "missing": sum(not sample for sample in samples),
    }
    return batch | _stack([sample for sample in samples if sample])


def _stack(samples: list[Sample]) -> dict[str, Any]:
    """Stacked images; where sizes differ only "unequal", words for it, and "parts", a batch for each run of equals."""
    batch: dict[str, Any] = {}
    for key in samples[0] if samples else ():
        values = [sample[key] for sample in samples]
        if not isinstance(values[0], Tensor) or key.endswith("_truth"):
            batch[key] = values
        elif len({value.shape for value in values}) == 1:
            # In a worker, straight into memory that the main process sees.
            batch[key] = default_collate(values) if len(values) > 1 else values[0].unsqueeze(0)
        else:
            unequal = ", ".join(f"{value.shape[-1]}x{value.shape[-2]}" for value in values)
            return {"unequal": unequal, "parts": [_stack(list(run)) for _, run in groupby(samples, _shapes)]}
    return batch


def _shapes(sample: Sample) -> list[torch.Size]:
    return [value.shape for key, value in sample.items() if isinstance(value, Tensor) and not key.endswith("_truth")]


def _start_worker(worker: int) -> None:
    # Ctrl-C, and a `kill` of the whole job, are for the main process, which saves first and then ends its workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _end_workers() -> None:
    """End workers that are left when the program ends: Python would wait for ever, as they take no SIGTERM."""
    for worker in multiprocessing.active_children():
        worker.kill()


def _notice_deaths_at_the_next_batch() -> None:
    """Torch raises the death of a worker where the main process happens to be, as in the middle of a training step."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _next(batches: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """The next batch, if any; torch, which looks for dead workers when its time is over, gets LONGEST_WAIT in parts."""
    for _ in range(LONGEST_WAIT // LOOK_AFTER - 1):
        try:
            return next(batches, None)
        except RuntimeError as error:
            if "timed out" not in str(error):
                raise
    return next(batches, None)


def _cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_error(message: str) -> None:
    print(message, file=sys.stderr)


class Loader:
    """An iterable of batches, dictionaries of stacked images and lists; `len` is the images of an epoch.

    It is part of a run's checkpoint, which remembers what the run was trained on and which files were bad.
    `print_message` prints bad images, each file once, and how many at the end of an epoch. Raises UserError for one
    with --on_bad_image error, for images of unequal size in a batch, and where no image can be read.
    """

    def __init__(self, dataset: BaseDataset, opt: argparse.Namespace, pin_memory: bool = False) -> None:
        """`pin_memory`: whether batches lie where a GPU can fetch them while other work goes on."""
        self.dataset, self.opt, self.pin_memory = dataset, opt, pin_memory
        if dataset.cache is None and opt.cache != "none":
            dataset.cache = self._create_cache()
        self.print_message: Callable[[str], None] = _print_error
        self.bad_images: dict[str, str] = {}  # what was wrong with a file, by path
        self.transparent = False
        self.noted = False  # whether the user was told that the cache is full
        self.reports: Counter[str] = Counter()  # how often a file was bad in this epoch, by path
        self.batches = (
            EpochBatches(len(dataset), opt.batch_size, not opt.serial_batches, opt.seed, together=processes())
            if opt.is_train
            else TestBatches(
                min(getattr(opt, "num_test", len(dataset)), len(dataset)), opt.batch_size, together=processes()
            )
        )
        self.loader = self._create_loader(min(opt.num_threads, _cores()))
        if self.loader.num_workers:
            atexit.register(_end_workers)

    def _create_loader(self, workers: int) -> DataLoader[Any]:
        return DataLoader(
            self.dataset,  # type: ignore[arg-type]  # any object with __getitem__ will do
            batch_sampler=self.batches,
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=_start_worker,
            persistent_workers=workers > 0,
            timeout=LOOK_AFTER if workers else 0,
            prefetch_factor=PREFETCH if workers else None,
            pin_memory=self.pin_memory,
            generator=torch.Generator(),  # its own, or each epoch would draw from the global one
        )

    def _create_cache(self) -> ImageCache | None:
        folder = Path(self.opt.cache_dir or Path(self.opt.dataroot, ".cache"))
        files = sum(len(paths) for paths in self.dataset.files().values()) or 2 * len(self.dataset)
        try:
            return create_cache(self.opt.cache, folder, files)
        except OSError as error:
            self.print_message(
                f"note: --cache {self.opt.cache}: there is no memory for it ({error.strerror}): going on without"
            )
            return None

    def __len__(self) -> int:
        return len(self.dataset)

    def summary(self) -> str:
        """What was found, for the console."""
        return self.dataset.summary()

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Which epoch the next iteration gives, and how many of its images to leave out at its start."""
        if start == 0:
            self.reports.clear()
        self.batches.epoch, self.batches.start = epoch, start

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What it is made of; taken when first asked for, as a test never asks."""
        return fingerprint(self.dataset.files())

    def state_dict(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "bad_images": dict(self.bad_images),
            "transparent": self.transparent,
            "reports": dict(self.reports),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises UserError for a dataset that is not the one of before, unless --force."""
        changed = difference(state["fingerprint"], self.fingerprint)
        if changed and not self.opt.force:
            raise UserError(
                f"--dataroot {self.opt.dataroot} is not what the run was trained on: {changed}; restore it, or go on "
                "with it as it is by --force"
            )
        self.bad_images = dict(state["bad_images"])
        self.transparent = state["transparent"]
        self.reports = Counter(state["reports"])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        reports, any_read = self.reports, self.batches.start > 0
        spares = [self.batches.is_spare(number) for number in range(len(self.batches))]
        for batch, is_spare in zip(self._batches(), spares, strict=True):
            self._report(batch, reports)
            if batch.pop("missing") and self.opt.is_train:
                raise UserError(f"{MOST_DRAWS} images in a row of {self.opt.dataroot} can't be read: {self._example()}")
            if is_spare:
                batch = {key: [] if key.endswith("_paths") else value for key, value in batch.items()}
            if batch:
                any_read = True
                yield from batch.get("parts", [batch])
        if reports:
            fate = "replaced by others" if self.opt.is_train else "left out"
            self.print_message(f"images that could not be read: {reports.total()}, of {len(reports)} files; {fate}")
        if reports and not any_read and processes().count == 1:  # else the others may have read some
            wanted = (
                "image" if self.opt.is_train or self.batches.size == len(self) else "image that --num_test asks for"
            )
            raise UserError(f"no {wanted} of {self.opt.dataroot} can be read: {self._example()}")

    def _batches(self) -> Iterator[dict[str, Any]]:
        """What the workers load; if one of them dies (out of memory) or hangs, the rest in this process, the same."""
        done = 0
        try:
            batches = iter(self.loader)
            _notice_deaths_at_the_next_batch()
            while (batch := _next(batches)) is not None:
                yield batch
                done += 1
        except RuntimeError as error:
            if not self.loader.num_workers or "DataLoader" not in str(error):
                raise
            self.print_message(f"warning: from here on one process loads images ({' '.join(str(error).split())})")
            self.loader = self._create_loader(workers=0)
            self.batches.start += done * self.batches.batch_size
            yield from self.loader

    def _example(self) -> str:
        return "{}: {}".format(*next(iter(self.bad_images.items())))

    def _report(self, batch: dict[str, Any], reports: Counter[str]) -> None:
        """Take the reports out of a batch and tell what is new in them."""
        for path, reason in batch.pop("bad_images"):
            if self.opt.on_bad_image == "error":
                raise UserError(f"{path}: {reason} (--on_bad_image skip goes on without it)")
            if path not in self.bad_images:
                self.bad_images[path] = reason
                self.print_message(f"bad image {path}: {reason}")
            reports[path] += 1
        if (note := batch.pop("note")) and not self.noted:
            self.noted = True
            self.print_message(note)
        if batch.pop("transparent") and not self.transparent:
            self.transparent = True
            self.print_message("some images are transparent: they are put over white")
        if "unequal" in batch and self.opt.is_train:
            raise UserError(
                f"--batch_size {self.opt.batch_size} needs images of one size, and a batch has {batch['unequal']} with "
                f"--preprocess {self.opt.preprocess}: use --batch_size 1, or a --preprocess that crops"
            )
