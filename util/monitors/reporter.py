"""Everything that a training run shows: console, losses.jsonl, the page, live monitors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from util import images
from util.errors import TrainingDiverged, UserError
from util.monitors import create_monitors
from util.pages.training_page import TrainingPage
from util.runs.progress import Console
from util.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor


class Shown(Protocol):
    """What is shown of a model."""

    learning_rate: float
    skipped_steps: int
    device: Any

    def check_finite(self) -> None: ...

    def get_current_losses(self) -> Mapping[str, float]: ...

    def get_current_visuals(self) -> Mapping[str, Tensor]: ...

    def describe(self, verbose: bool = ..., /) -> str: ...


class Source(Protocol):
    """What is shown of a dataset."""

    print_message: Callable[[str], None]

    def __len__(self) -> int: ...

    def summary(self) -> str: ...


class Reporter:
    """Shows the losses and images of a run at the frequencies that the options give; a context manager.

    What shows a run must not stop it: a page that can't be written is reported and left, monitors run beside it.
    """

    def __init__(self, opt: argparse.Namespace, run: Run, dataset: Source, model: Shown) -> None:
        folder, progress = run.folder, run.progress
        self.opt, self.progress, self.model, self.log = opt, progress, model, run.log
        self.last_epoch = run.last_epoch
        print(dataset.summary())
        print(model.describe(opt.verbose))
        print(f"run {folder} on {model.device}, seed {opt.seed}", flush=True)
        images_left = max(0, self.last_epoch - progress.epoch + 1) * len(dataset) - progress.images_in_epoch
        self.console = Console(progress.images + images_left, progress.images)
        self.say = run.say = dataset.print_message = self.console.say
        self.page: TrainingPage | None = None
        self._page_failed = False
        if not opt.no_html:
            seen = None if run.from_weights else progress.images
            self.page = TrainingPage(folder / "web", opt.name, vars(opt), opt.display_winsize, seen=seen)
            if self.page.left_out:
                epochs = ", ".join(map(str, self.page.left_out))
                self.say(f"warning: pictures of epoch {epochs} are damaged or gone: they are left out of the page")
            self._update_page(lambda page: page.update_curves(self.log.records))
        self.monitors = create_monitors(opt, self.log.records, self.say)

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._update_page(lambda page: page.update_curves(self.log.records))
        self._update_page(lambda page: page.finish(complete=self.progress.epoch > self.last_epoch))
        for monitor in self.monitors:
            monitor.close()
        self.console.close()
        if skipped := self.model.skipped_steps:
            print(f"--precision fp16 skipped {skipped} steps of an optimizer, as numbers overflowed", file=sys.stderr)
        if isinstance(error, TrainingDiverged):
            error.step = self.progress.step - error.steps_ago

    def step(self) -> None:
        """A step has been trained. Losses and images leave their device only when they are due to be shown."""
        opt, progress = self.opt, self.progress
        title = f"epoch {progress.epoch}/{self.last_epoch}"
        self.console.advance(progress.last_count, title)
        if progress.due(opt.print_freq):
            self._show_losses(title)
        to_page = self.page is not None and progress.due(opt.update_html_freq)
        to_monitors = bool(self.monitors) and progress.due(opt.display_freq)
        if to_page or to_monitors:
            self.model.check_finite()
            arrays = {name: images.to_array(visual[0]) for name, visual in self.model.get_current_visuals().items()}
            self._show_images(arrays, to_page, to_monitors)

    def _show_losses(self, title: str) -> None:
        progress, losses = self.progress, self.model.get_current_losses()
        record = {
            "epoch": progress.epoch,
            "step": progress.step,
            "images": progress.images,
            "seconds": round(progress.seconds, 3),
            **losses,
            "lr": self.model.learning_rate,
        }
        try:
            self.log.append(record)
        except OSError as error:
            self.say(f"warning: a line of {self.log.path} can't be written ({error}): it follows with the next")
        self.console.report(title, losses)
        for monitor in self.monitors:
            monitor.add_losses(record)

    def _show_images(self, arrays: dict[str, np.ndarray], to_page: bool, to_monitors: bool) -> None:
        progress = self.progress

        def add_all(page: TrainingPage) -> None:
            page.add_samples(progress.epoch, progress.images, arrays)
            page.update_curves(self.log.records)

        if to_page:
            self._update_page(add_all)
        if to_monitors:
            for monitor in self.monitors:
                monitor.show_images(arrays, progress.epoch, progress.images)

    def _update_page(self, update: Callable[[TrainingPage], None]) -> None:
        if self.page is None:
            return
        try:
            update(self.page)
        except (OSError, UserError) as error:
            if not self._page_failed:
                self.say(f"warning: the page can't be written ({error}): training goes on, and tries again")
            self._page_failed = True
        else:
            self._page_failed = False
