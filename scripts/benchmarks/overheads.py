"""The time of training beyond its steps: loading, progress, losses, pages, monitors and checkpoints."""

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

EPOCH_IMAGES = 1334  # images per epoch of horse2zebra, for events that happen once in some epochs
SMALL_WIDTH = 4  # --ngf and --ndf of a network with steps so short that their noise does not hide the loop
UNUSED_PORT = "1"  # no visdom server listens here


def write_photos(root: Path, count: int = 40, size: int = 256) -> None:
    """Write smooth random JPEGs to trainA and trainB, with about the file size of photographs."""
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
    """The loop of train.py with all its parts, one step at a time."""

    def __init__(self, opt: argparse.Namespace, name: str, dataset: Any, model: Any, epoch: int, stack: ExitStack):
        """`epoch`: the simulated epoch of the run; the log gets the records of a run that long."""
        self.opt = argparse.Namespace(**vars(opt) | {"name": name})
        self.dataset, self.model = dataset, model
        self.run = Run(self.opt)
        self.run.attach(model, dataset)
        self.progress = self.run.progress
        self._simulate_history(epoch)
        self.reporter = stack.enter_context(Reporter(self.opt, self.run, dataset, model))
        self.stop = stack.enter_context(StopSignal(None))
        stack.enter_context(self.run)

    def _simulate_history(self, epoch: int) -> None:
        self.progress.epoch, self.progress.images = epoch, (epoch - 1) * EPOCH_IMAGES
        random = np.random.default_rng(0)
        names = ["G_A", "cycle_A", "idt_A", "G_B", "cycle_B", "idt_B", "D_A", "D_B"]
        for images in range(self.opt.print_freq, self.progress.images, self.opt.print_freq):
            place = {"epoch": images // EPOCH_IMAGES + 1, "step": images, "images": images, "seconds": 1.5 * images}
            losses = {name: round(float(value), 6) for name, value in zip(names, random.random(8), strict=True)}
            self.run.log.append(place | losses | {"lr": 0.0002})

    def add_rows(self, epochs: int) -> None:
        """Give the page one row per epoch, all with the images of its newest row."""
        assert self.reporter.page is not None
        record = self.run.folder / "web" / "samples.jsonl"
        newest = Samples.from_line(record.read_text().splitlines()[-1])
        rows = [replace(newest, epoch=epoch, images=(epoch - 1) * EPOCH_IMAGES) for epoch in range(1, epochs)]
        record.write_text("".join(row.to_line() for row in [*rows, newest]))
        self.reporter.page = type(self.reporter.page)(record.parent, self.opt.name, vars(self.opt))

    def steps(self) -> Iterator[Any]:
        """The loop of train.py; yields each batch after its step."""
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
        """Seconds of the reporter after a step, at the next multiple of `every` images."""
        self.progress.images += every - self.progress.images % every - 1
        self.progress.count(1)
        return timed(self.reporter.step)

    def save(self) -> tuple[float, float]:
        """Seconds for which a save stops training, and CPU seconds of the save in the background."""
        self.model.folder = self.run.folder
        stopped = timed(lambda: self.run.save("latest"))
        begun = time.process_time()
        assert self.run.is_saved, self.run.failed_save
        return stopped, time.process_time() - begun


def measure_events(trainings: dict[str, Training], repeats: int) -> Figures:
    """Median seconds of each kind of event, for each training; the trainings take turns."""
    measured: dict[str, dict[str, list[float]]] = {name: {} for name in trainings}
    for _ in range(repeats):
        for name, training in trainings.items():
            opt = training.opt
            losses = training.report_at(opt.print_freq)
            seconds = {
                "losses": losses,
                "monitors": max(0.0, training.report_at(opt.display_freq) - losses),
                "page": max(0.0, training.report_at(opt.update_html_freq) - losses),
            }
            seconds["save"], seconds["save, background"] = training.save()
            for event, value in seconds.items():
                measured[name].setdefault(event, []).append(value)
    return {name: {event: median(values) for event, values in events.items()} for name, events in measured.items()}


def seconds_per_image(events: dict[str, float], opt: argparse.Namespace) -> float:
    """Seconds of these events per image, at the options' frequencies; all of a save counts as stopped training."""
    saves = 1 / opt.save_latest_freq + 1 / (opt.save_epoch_freq * EPOCH_IMAGES)
    return (
        events["losses"] / opt.print_freq
        + events["monitors"] / opt.display_freq
        + events["page"] / opt.update_html_freq
        + (events["save"] + events["save, background"]) * saves
    )


def measure_overheads(flags: Sequence[str] = (), pairs: int = 60, repeats: int = 3) -> Figures:
    """The overhead of the training loop at 128 px with the default options, in epoch 1 and in epoch 200.

    A whole run would take days, so the result combines three measurements:

    1. The extra time of a step in train.py's loop, when no event is due, over a bare step on the same batch. This is
       loading and counting. It is measured on a small network, since the noise of long steps would hide it.
    2. A bare step of the real model with `flags`: "bare" in the row "step". "loop" is "bare" plus the extra time.
    3. The events at the default frequencies, in rows "epoch 1" and "epoch 200": losses and page with the history of a
       run that long (1334 images per epoch, as horse2zebra), a visdom client without a server, and saves.

    "share" is the overhead per image, divided by the time of a bare step. "ratio" is the time of bare steps, divided
    by the time of the loop.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        write_photos(Path(folder) / "photos")
        where = ["--dataroot", f"{folder}/photos", "--checkpoints_dir", folder, "--display_port", UNUSED_PORT]
        opt = TrainOptions().parse([*where, "--load_size", "143", "--crop_size", "128", "--seed", "1", *flags])
        dataset, model = create_dataset(opt), create_model(opt)
        model.setup(opt)
        small = create_model(argparse.Namespace(**vars(opt) | {"ngf": SMALL_WIDTH, "ndf": SMALL_WIDTH}))
        small.setup(opt)
        extra, batch = measure_difference(Training(opt, "small", dataset, small, epoch=1, stack=stack), pairs)
        bare = measure_step(model, batch)
        early = Training(opt, "early", dataset, model, epoch=1, stack=stack)
        late = Training(opt, "late", dataset, model, epoch=200, stack=stack)

        for training in (early, late):
            training.report_at(opt.print_freq)  # warm-up: the first call takes longer
        late.report_at(opt.update_html_freq)
        late.add_rows(200)
        figures = measure_events({"epoch 1": early, "epoch 200": late}, repeats)
        for events in figures.values():
            overhead = max(0.0, extra) + seconds_per_image(events, opt)
            events |= {"share": overhead / bare, "ratio": bare / (bare + overhead)}
        return {"step": {"bare": bare, "loop": bare + extra, "ratio": bare / (bare + extra)}, **figures}


def measure_difference(training: Training, pairs: int) -> tuple[float, Any]:
    """The extra seconds of a step in the loop over a bare step, the median of `pairs`; and the last batch."""
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
        print(name, "  ".join(f"{column} {value:.4g}" for column, value in figures.items()))
