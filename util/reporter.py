"""Everything that a training run shows: console, losses.jsonl, the page, live monitors."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from util import images, run_folder
from util.errors import UserError
from util.loss_log import LossLog
from util.monitors import create_monitors
from util.progress import Console, Progress
from util.training_page import TrainingPage

if TYPE_CHECKING:
    from torch import Tensor


class Reporter:
    """Shows the losses and images of a run at the frequencies that the options give; a context manager.

    What shows costs no training: a page that can't be written is reported and left, monitors run beside it.
    """

    def __init__(self, opt: argparse.Namespace, folder: Path, progress: Progress, images_per_epoch: int) -> None:
        self.opt, self.progress = opt, progress
        self.last_epoch = opt.n_epochs + opt.n_epochs_decay
        self.log = LossLog(folder / run_folder.LOSSES)
        self.log.forget_after(progress.step)
        self.console = Console(max(0, self.last_epoch - opt.epoch_count + 1) * images_per_epoch, progress.images)
        self.say = self.console.say
        self.page = None
        if not opt.no_html:
            self.page = TrainingPage(folder / "web", opt.name, vars(opt), opt.display_winsize)
        self.monitors = create_monitors(opt, self.log.records, self.say)

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.page is not None:
            self._try(lambda page: page.update_curves(self.log.records))
            self._try(lambda page: page.finish())
        for monitor in self.monitors:
            monitor.close()
        self.console.close()

    def step(
        self,
        losses: Callable[[], Mapping[str, float]],
        visuals: Callable[[], Mapping[str, Tensor]],
        learning_rate: float,
    ) -> None:
        """A step has been trained. Losses and visuals are asked for only when they are due to be shown."""
        opt, progress = self.opt, self.progress
        title = f"epoch {progress.epoch}/{self.last_epoch}"
        self.console.advance(progress.last_count, title)
        if progress.due(opt.print_freq):
            self._report(title, losses(), learning_rate)
        to_page = self.page is not None and progress.due(opt.update_html_freq)
        to_monitors = bool(self.monitors) and progress.due(opt.display_freq)
        if to_page or to_monitors:
            arrays = {name: images.to_array(visual[0]) for name, visual in visuals().items()}
            if to_page:
                self._try(lambda page: page.add_samples(progress.epoch, progress.images, arrays))
                self._try(lambda page: page.update_curves(self.log.records))
            if to_monitors:
                for monitor in self.monitors:
                    monitor.show_images(arrays, progress.epoch, progress.images)

    def _report(self, title: str, losses: Mapping[str, float], learning_rate: float) -> None:
        progress = self.progress
        record = {
            "epoch": progress.epoch,
            "step": progress.step,
            "images": progress.images,
            "seconds": round(progress.seconds, 3),
            **losses,
            "lr": learning_rate,
        }
        self.log.append(record)
        self.console.report(title, losses)
        for monitor in self.monitors:
            monitor.add_losses(record)

    def _try(self, update: Callable[[TrainingPage], None]) -> None:
        if self.page is None:
            return
        try:
            update(self.page)
        except (OSError, UserError) as error:
            self.say(f"the page can't be written ({error}): training goes on without it")
            self.page = None
