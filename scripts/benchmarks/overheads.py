"""What training takes beyond its steps: loading, progress, losses, pages, monitors and checkpoints."""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from data import create_dataset
from models import create_model
from options import TrainOptions
from util.monitors.reporter import Reporter
from util.pages.training_page import Samples
from util.runs.run import Run
from util.runtime.stop_signal import StopSignal

Figures = dict[str, dict[str, float]]

EPOCH_IMAGES = 1334  # of horse2zebra, for what happens once in some epochs
SMALL_WIDTH = 4  # --ngf and --ndf of a network whose steps are so short that what is beside them can be told
NOBODY = "1"  # a port where no visdom server listens


def write_photos(root: Path, count: int = 40, size: int = 256) -> None:
    """Soft random JPEGs in trainA and trainB, of about the size in bytes that photographs have."""
    random = np.random.default_rng(0)
    for folder in ("trainA", "trainB"):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            coarse = Image.fromarray(random.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8))
            coarse.resize((size, size), Image.Resampling.BICUBIC).save(root / folder / f"{i:03}.jpg", quality=90)


def timed(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Training:
    """The loop of train.py and all that belongs to it, to be taken step by step."""

    def __init__(self, opt: argparse.Namespace, name: str, dataset: Any, model: Any, epoch: int, stack: ExitStack):
        """`epoch`: how far the run pretends to be, with the records and the page that it has by then."""
        self.opt = argparse.Namespace(**vars(opt) | {"name": name})
        self.dataset, self.model = dataset, model
        self.run = Run(self.opt)
        self.run.attach(model, dataset)
        self.progress = self.run.progress
        self._pretend(epoch)
        self.reporter = stack.enter_context(Reporter(self.opt, self.run, dataset, model))
        self.stop = stack.enter_context(StopSignal(None))
        stack.enter_context(self.run)

    def _pretend(self, epoch: int) -> None:
        self.progress.epoch, self.progress.images = epoch, (epoch - 1) * EPOCH_IMAGES
        random = np.random.default_rng(0)
        names = ["G_A", "cycle_A", "idt_A", "G_B", "cycle_B", "idt_B", "D_A", "D_B"]
        for images in range(self.opt.print_freq, self.progress.images, self.opt.print_freq):
            place = {"epoch": images // EPOCH_IMAGES + 1, "step": images, "images": images, "seconds": 1.5 * images}
            losses = {name: round(float(value), 6) for name, value in zip(names, random.random(8), strict=True)}
            self.run.log.append(place | losses | {"lr": 0.0002})

    def add_rows(self, epochs: int) -> None:
        """Give the page a row for each of these epochs, all with the pictures of its newest."""
        assert self.reporter.page is not None
        record = self.run.folder / "web" / "samples.jsonl"
        newest = Samples.from_line(record.read_text().splitlines()[-1])
        rows = [replace(newest, epoch=epoch, images=(epoch - 1) * EPOCH_IMAGES) for epoch in range(1, epochs)]
        record.write_text("".join(row.to_line() for row in [*rows, newest]))
        self.reporter.page = type(self.reporter.page)(record.parent, self.opt.name, vars(self.opt))

    def steps(self) -> Iterator[Any]:
        """The loop of train.py; gives each batch once its step is over."""
        while True:
            self.dataset.set_epoch(self.progress.epoch, start=0)
            for batch in self.dataset:
                self.model.set_input(batch)
                self.model.optimize_parameters()
                self.progress.count(len(self.model.get_image_paths()))
                self.reporter.step()
                if self.run.is_due():
                    self.run.save("latest")
                assert not self.stop.requested
                yield batch
            self.progress.end_epoch()

    def report_at(self, every: int) -> float:
        """Seconds of what the reporter does after a step at the next multiple of so many images."""
        self.progress.images += every - self.progress.images % every - 1
        self.progress.count(1)
        return timed(self.reporter.step)

    def save(self) -> tuple[float, float]:
        """Seconds that a save stops training, and seconds of a processor that it takes beside training."""
        self.model.folder = self.run.folder
        stopped = timed(lambda: self.run.save("latest"))
        begun = time.process_time()
        assert self.run.is_saved, self.run.failed_save
        return stopped, time.process_time() - begun


def measure_events(trainings: dict[str, Training], repeats: int) -> Figures:
    """Seconds of each thing that happens now and then, for each training; in alternation, the median of several."""
    measured: dict[str, dict[str, list[float]]] = {name: {} for name in trainings}
    for _ in range(repeats):
        for name, training in trainings.items():
            opt = training.opt
            losses = training.report_at(opt.print_freq)
            seen = {
                "losses": losses,
                "monitors": max(0.0, training.report_at(opt.display_freq) - losses),
                "page": max(0.0, training.report_at(opt.update_html_freq) - losses),
            }
            seen["save"], seen["save, beside"] = training.save()
            for event, seconds in seen.items():
                measured[name].setdefault(event, []).append(seconds)
    return {name: {event: median(values) for event, values in events.items()} for name, events in measured.items()}


def seconds_an_image(events: dict[str, float], opt: argparse.Namespace) -> float:
    """What these events come to at the frequencies of the options; a save counts as if all of it stopped training."""
    saves = 1 / opt.save_latest_freq + 1 / (opt.save_epoch_freq * EPOCH_IMAGES)
    return (
        events["losses"] / opt.print_freq
        + events["monitors"] / opt.display_freq
        + events["page"] / opt.update_html_freq
        + (events["save"] + events["save, beside"]) * saves
    )


def measure_overheads(flags: Sequence[str] = (), pairs: int = 60, repeats: int = 3) -> Figures:
    """The share of training time at 128 px that is no step, for the published defaults, in epoch 1 and in epoch 200.

    A whole run would take days, so it is put together of three measurements. By how many seconds a step of train.py's
    loop, in which nothing of the following is due, is longer than a bare step on the same batch, in alternation: this
    on a small network, as the noise of long steps would hide it. A bare step of the real model (or that of `flags`):
    "step" has it, and "loop" is it with that difference, which is loading and counting. "epoch 1" and
    "epoch 200": seconds of each event that the default frequencies bring, losses and page with the history that a run
    has by then (horse2zebra's 1334 images an epoch), one visdom client that finds no server, saves with their
    writing; and "share", of all these together, an image, in the time of a bare step; "ratio": bare steps to the loop.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        write_photos(Path(folder) / "photos")
        where = ["--dataroot", f"{folder}/photos", "--checkpoints_dir", folder, "--display_port", NOBODY]
        opt = TrainOptions().parse([*where, "--load_size", "143", "--crop_size", "128", "--seed", "1", *flags])
        dataset, model = create_dataset(opt), create_model(opt)
        model.setup(opt)
        small = create_model(argparse.Namespace(**vars(opt) | {"ngf": SMALL_WIDTH, "ndf": SMALL_WIDTH}))
        small.setup(opt)
        longer, batch = measure_difference(Training(opt, "small", dataset, small, epoch=1, stack=stack), pairs)
        bare = measure_step(model, batch)
        young = Training(opt, "young", dataset, model, epoch=1, stack=stack)
        old = Training(opt, "old", dataset, model, epoch=200, stack=stack)

        for training in (young, old):
            training.report_at(opt.print_freq)  # what the first time takes longer is not of interest
        old.report_at(opt.update_html_freq)
        old.add_rows(200)
        found = measure_events({"epoch 1": young, "epoch 200": old}, repeats)
        for events in found.values():
            overhead = max(0.0, longer) + seconds_an_image(events, opt)
            events |= {"share": overhead / bare, "ratio": bare / (bare + overhead)}
        return {"step": {"bare": bare, "loop": bare + longer, "ratio": bare / (bare + longer)}, **found}


def measure_difference(training: Training, pairs: int) -> tuple[float, Any]:
    """By how many seconds a step in the loop is longer than a bare one, the median of pairs; and a batch."""
    model, steps = training.model, training.steps()
    batch: Any = None

    def in_loop() -> None:
        nonlocal batch
        batch = next(steps)
        model.check_finite()  # waits for the device

    in_loop()  # starts the loader's workers
    bare_step(model, batch)
    differences = []
    for number in range(pairs):
        looped = timed(in_loop) if number % 2 == 0 else None
        alone = timed(lambda: bare_step(model, batch))
        differences.append((timed(in_loop) if looped is None else looped) - alone)
    return median(differences), batch


def measure_step(model: Any, batch: Any, repeats: int = 5) -> float:
    """Seconds of a bare step, the median."""
    bare_step(model, batch)
    return median(timed(lambda: bare_step(model, batch)) for _ in range(repeats))


def bare_step(model: Any, batch: Any) -> None:
    model.set_input(batch)
    model.optimize_parameters()
    model.check_finite()  # waits for the device


if __name__ == "__main__":
    for name, figures in measure_overheads().items():
        print(name, "  ".join(f"{what} {value:.4g}" for what, value in figures.items()))
