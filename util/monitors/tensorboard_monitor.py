"""Losses, images and options as TensorBoard event files, for --use_tensorboard."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from util.monitors.base import loss_values, print_line, score_values

if TYPE_CHECKING:
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter

FLUSH_SECONDS = 10  # how long an event may wait before it is written
QUEUE = 1000  # events that may wait for a slow disk before training waits too


def is_requested(opt: argparse.Namespace) -> bool:
    return getattr(opt, "use_tensorboard", False)  # an option of train.py only


def create(
    opt: argparse.Namespace,
    history: Sequence[Mapping[str, float]],
    print_message: Callable[[str], None],
    scores: Sequence[Mapping[str, float]] = (),
) -> TensorBoardMonitor:
    folder = Path(opt.checkpoints_dir) / opt.name / "tensorboard"
    return TensorBoardMonitor(folder, vars(opt), history, print_message, scores)


class TensorBoardMonitor:
    """A Monitor (see util.monitors.base) that writes an event file. The step of an event is the images seen.

    The scalars are losses/NAME, validation/NAME and lr, an image has the name of its visual, the text `options` is a
    table. After an error (a full disk) it prints one line and stops writing.
    """

    def __init__(
        self,
        folder: Path,
        options: Mapping[str, object],
        history: Sequence[Mapping[str, float]] = (),
        print_message: Callable[[str], None] = print_line,
        scores: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Start a new event file in the folder.

        The event files of earlier sessions stay. The new one tells TensorBoard to drop their events after the last
        record of `history` and `scores` (purge_step), because a resumed run trains these steps again. If there is no
        earlier event file, these records of losses and validations are written to the new one.
        """
        self._folder, self._print_message = folder, print_message
        self._writer: SummaryWriter | None = None
        is_continued = any(folder.glob("events.out.tfevents.*"))
        last = [*history[-1:], *scores[-1:]]
        seen = max((int(record["images"]) for record in last), default=0)
        purge_step = None if not is_continued else seen + 1 if last else 0
        with self._reported_errors():
            self._writer = _open(folder, purge_step)
        rows = "".join(f"\n| {name} | {value} |" for name, value in options.items())
        self._write(lambda writer: writer.add_text("options", f"| option | value |\n| --- | --- |{rows}", seen))
        for record in () if is_continued else history:
            self.add_losses(record)
        for record in () if is_continued else scores:
            self.add_scores(record)

    def add_losses(self, record: Mapping[str, float]) -> None:
        values = {f"losses/{name}": value for name, value in loss_values(record).items()}
        if "lr" in record:
            values["lr"] = record["lr"]
        self._add_scalars(values, int(record["images"]))

    def add_scores(self, record: Mapping[str, float]) -> None:
        values = {f"validation/{name}": value for name, value in score_values(record).items()}
        self._add_scalars(values, int(record["images"]))

    def _add_scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._write(lambda writer, name=name, value=value: writer.add_scalar(name, value, step))

    def show_images(self, visuals: Mapping[str, np.ndarray], epoch: int, images: int) -> None:
        for name, visual in visuals.items():
            self._write(
                lambda writer, name=name, visual=visual: writer.add_image(name, visual, images, dataformats="HWC")
            )

    def close(self) -> None:
        self._write(lambda writer: writer.close())
        self._writer = None

    def _write(self, action: Callable[..., None]) -> None:
        """Call a function with the writer, unless that has failed before."""
        if self._writer is not None:
            with self._reported_errors():
                action(self._writer)

    @contextmanager
    def _reported_errors(self) -> Iterator[None]:
        """Print an error and drop the writer, whose thread has ended: whatever fails here, training continues."""
        try:
            yield
        except Exception as error:
            self._writer = None
            self._print_message(f"tensorboard: can't write to {self._folder} ({error}); training continues without it")


def _open(folder: Path, purge_step: int | None) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    _mute_writer_thread()
    return SummaryWriter(str(folder), purge_step=purge_step, max_queue=QUEUE, flush_secs=FLUSH_SECONDS)


@cache
def _mute_writer_thread() -> None:
    """Keep tensorboard's thread from printing a traceback; the next call of the writer raises its error again."""
    before = threading.excepthook

    def print_others(arguments: threading.ExceptHookArgs) -> None:
        if type(arguments.thread).__module__ != "tensorboard.summary.writer.event_file_writer":
            before(arguments)

    threading.excepthook = print_others
