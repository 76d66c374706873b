"""The loader: batches of a dataset, in the order of its sampler, and the reports about its images."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from data import workers
from data.base_dataset import MAX_DRAWS, BaseDataset
from data.cache import ImageCache, available_memory, create_cache
from data.collate import collate
from data.file_rules import explain_new_rules
from data.fingerprint import Fingerprint, difference, fingerprint
from data.fixed_images import fixed_batches, load_batches
from data.loader_advice import Conditions, advise, sample_images
from data.sampler import create_sampler
from data.wait_meter import WaitMeter
from util.errors import UserError
from util.image_sizes import ImageSizes
from util.runtime.device import get_device
from util.runtime.device_work import DeviceWork
from util.runtime.processes import processes
from util.stage import Stage


def _print_error(message: str) -> None:
    print(message, file=sys.stderr)


class Loader:
    """An iterable of batches: dictionaries of stacked images and of lists. `len` is the number of images in an epoch.

    The training loader is part of the checkpoint, which records the dataset and its unreadable files. `print_message`
    receives each unreadable file once, and their number at the end of an epoch. Iterating raises UserError for an
    unreadable image with --on_bad_image error, for images of unequal size in a training batch, and if no image is
    readable.
    """

    def __init__(self, dataset: BaseDataset, opt: argparse.Namespace, pin_memory: bool = False) -> None:
        """`pin_memory`: put batches into page-locked memory, from which a GPU copies them in the background."""
        self.dataset, self.opt, self.pin_memory = dataset, opt, pin_memory
        self.is_training = dataset.stage is Stage.TRAIN
        self.print_message: Callable[[str], None] = _print_error
        self.unreadable: dict[str, str] = {}  # the reason by path
        self.transparent = False
        self.is_cache_reported = False
        self.is_profile_reported = False
        self.wait_meter: WaitMeter | None = None
        self.started: Iterator[Any] | None = None  # the iterator whose workers have started
        self.reports: Counter[str] = Counter()  # how often a path was unreadable in this epoch
        if dataset.cache is None and opt.cache != "none":
            dataset.cache = self._create_cache()
        self.batches = create_sampler(len(dataset), opt, dataset.stage)
        self.loader = self._create_loader(min(opt.num_threads, workers.available_cores()))
        if self.loader.num_workers:
            workers.end_with_program()

    def _create_loader(self, num_workers: int) -> DataLoader[Any]:
        return DataLoader(
            self.dataset,  # type: ignore[arg-type]  # any object with __getitem__ works
            batch_sampler=self.batches,
            num_workers=num_workers,
            collate_fn=collate,
            worker_init_fn=workers.start_worker,
            persistent_workers=num_workers > 0,
            timeout=workers.CHECK_INTERVAL if num_workers else 0,
            prefetch_factor=workers.PREFETCH if num_workers else None,
            pin_memory=self.pin_memory,
            generator=torch.Generator(),  # without one, each epoch would draw from the global generator
        )

    def _create_cache(self) -> ImageCache | None:
        folder = Path(self.opt.cache_dir or Path(self.opt.dataroot, ".cache"))
        files = sum(len(paths) for paths in self.dataset.files().values()) or 2 * len(self.dataset)
        try:
            return create_cache(self.opt.cache, folder, files)
        except OSError as error:
            reason = f"not enough memory ({error.strerror})"
            self.print_message(f"note: --cache {self.opt.cache}: {reason}, so images are not cached")
            return None

    def __len__(self) -> int:
        return len(self.dataset)

    def summary(self) -> str:
        """For the console: what the dataset contains, and notes about it, one a line."""
        notes = getattr(self.dataset, "notes", list)  # a dataset need not be a BaseDataset
        return "\n".join([self.dataset.summary(), *notes()])

    def require_sizes(self, sizes: ImageSizes) -> None:
        """Skip images that a model can't take, as unreadable ones. To be called before the first batch."""
        if isinstance(self.dataset, BaseDataset):
            self.dataset.require_sizes(sizes)

    def fixed_batches(self, count: int, sizes: ImageSizes) -> list[dict[str, Any]]:
        """`count` batches of one sample each, always the same, see `data.fixed_images`."""
        return fixed_batches(self.opt, self.dataset.phase, count, sizes)

    def first_batches(self, count: int) -> list[dict[str, Any]]:
        """Up to `count` batches of the first readable samples, one each, without starting the workers."""
        return load_batches(self.dataset, range(len(self)), count)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Set the epoch of the next iteration, and how many of its images to skip at its start."""
        if start == 0:
            self.reports.clear()
        self.batches.epoch, self.batches.start = epoch, start

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Number, names and sizes of the dataset's files; computed only when a run is saved or resumed."""
        return fingerprint(self.dataset.files())

    def state_dict(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "bad_images": dict(self.unreadable),
            "transparent": self.transparent,
            "reports": dict(self.reports),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises UserError if the dataset differs from the one of the state, unless --force."""
        changed = difference(state["fingerprint"], self.fingerprint)
        if changed and not self.opt.force:
            rules = explain_new_rules(self.dataset.files(), Path(self.opt.dataroot))
            changed = f"{changed}; {rules}" if rules else changed
            raise UserError(
                f"--dataroot {self.opt.dataroot} differs from the dataset that the run was trained on: {changed}; "
                "restore it, or resume with the changed dataset by --force"
            )
        self.unreadable = dict(state["bad_images"])
        self.transparent = state["transparent"]
        self.reports = Counter(state["reports"])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if not self.is_training:
            self.set_epoch(self.batches.epoch)  # each pass is complete and reports anew
        reports, any_read, skipped = self.reports, self.batches.start > 0, 0
        spares = [self.batches.is_spare(number) for number in range(len(self.batches))]
        batches = self._load_batches()
        if self.wait_meter:
            batches = self.wait_meter.measure(batches)
        for batch, is_spare in zip(batches, spares, strict=True):
            self._report(batch, reports)
            missing = batch.pop("missing")
            skipped += missing
            if missing and self.is_training:
                raise UserError(f"{MAX_DRAWS} images in a row of {self.opt.dataroot} can't be read: {self._example()}")
            if is_spare:
                batch = {key: [] if key.endswith("_paths") else value for key, value in batch.items()}
            if batch:
                any_read = True
                yield from batch.get("parts", [batch])
        self._report_epoch(reports, any_read, skipped)

    def _load_batches(self) -> Iterator[dict[str, Any]]:
        """The batches that the workers load. If a worker dies or hangs, this process loads the rest, unchanged."""
        done = 0
        try:
            batches = iter(self.loader)
            if self.loader.num_workers and batches is not self.started:
                self.started = batches
                workers.end_with(self, batches)
            workers.report_deaths_at_next_batch()
            while (batch := workers.next_batch(batches)) is not None:
                yield batch
                done += 1
        except RuntimeError as error:
            if not self.loader.num_workers or "DataLoader" not in str(error):
                raise
            reason = " ".join(str(error).split())
            self.print_message(f"warning: a loader worker failed; the main process loads images from now on ({reason})")
            self.loader, self.started = self._create_loader(num_workers=0), None
            self.batches.start += done * self.batches.batch_size
            yield from self.loader

    def advise_if_slow(self) -> None:
        """Print advice after the first batches if training waits for them; not with a cache, which is still filling."""
        has_no_cache = isinstance(self.dataset, BaseDataset) and not self.dataset.cache
        if has_no_cache and DeviceWork.is_measurable(self.opt.device):
            self.wait_meter = WaitMeter(DeviceWork(self.opt.device), self._print_advice)

    def _print_advice(self, waiting: float, step: float) -> None:
        sharing = processes().local_world_size
        is_cpu = get_device(self.opt.device).type == "cpu"
        now = Conditions(
            waiting=waiting,
            step=step,
            workers=self.loader.num_workers,
            cores=0 if is_cpu else workers.available_cores() // sharing,
            memory=available_memory() * 3 // 4 // sharing,
            images=sample_images(self.dataset),
        )
        if advice := advise(now):
            self.print_message(advice)

    def _example(self) -> str:
        return "{}: {}".format(*next(iter(self.unreadable.items())))

    def _report(self, batch: dict[str, Any], reports: Counter[str]) -> None:
        """Remove the reports from a batch and print what is new in them."""
        for path, reason in batch.pop("unreadable"):
            if self.opt.on_bad_image == "error":
                raise UserError(f"{path}: {reason} (--on_bad_image skip continues without it)")
            if path not in self.unreadable:
                self.unreadable[path] = reason
                self.print_message(f"skipped unreadable image {path}: {reason}")
            reports[path] += 1
        if (note := batch.pop("note")) and not self.is_cache_reported:
            self.is_cache_reported = True
            self.print_message(note)
        if batch.pop("transparent") and not self.transparent:
            self.transparent = True
            self.print_message("some images are transparent: they are composited over white")
        if (profile := batch.pop("profile")) and not self.is_profile_reported:
            self.is_profile_reported = True
            converted = getattr(self.opt, "icc", "ignore") == "srgb"
            treatment = "converted to sRGB" if converted else "read as sRGB; --icc srgb converts them"
            self.print_message(
                f"note: some images have a color profile other than sRGB (such as {profile}): {treatment}"
            )
        if "unequal" in batch and self.is_training:
            raise UserError(
                f"--batch_size {self.opt.batch_size} needs images of one size, but a batch has {batch['unequal']} with "
                f"--preprocess {self.opt.preprocess}: use --batch_size 1, or a --preprocess that crops"
            )

    def _report_epoch(self, reports: Counter[str], any_read: bool, skipped: int) -> None:
        """Print how many files were unreadable. Raises UserError if no image was read."""
        if not reports:
            return
        consequence = (
            f"images drawn in their place: {reports.total()}" if self.is_training else f"samples skipped: {skipped}"
        )
        self.print_message(f"unreadable files: {len(reports)}; {consequence}")
        if not any_read and processes().world_size == 1:  # another process may have read some
            is_limited = not self.is_training and self.batches.size < len(self)
            wanted = "image within --num_test" if is_limited else "image"
            raise UserError(f"no {wanted} of {self.opt.dataroot} can be read: {self._example()}")
