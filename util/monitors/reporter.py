"""What a training run shows: console, losses.jsonl, the training page, live monitors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from util import images
from util.errors import TrainingDiverged, UserError
from util.image_sizes import ImageSizes
from util.monitors import create_monitors
from util.monitors.console import Console
from util.monitors.fixed_images import FixedImages, ValidatedModel
from util.pages.training_page import TrainingPage
from util.runs.base_run import BaseRun
from util.runs.run import Run
from util.stage import Stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class ShownModel(ValidatedModel, Protocol):
    """What the reporter needs of a model."""

    device: torch.device
    learning_rate: float
    skipped_steps: int
    has_fixed_samples: bool

    def image_sizes(self, stage: Stage, /) -> ImageSizes: ...

    def check_finite(self) -> None: ...

    def get_current_losses(self) -> Mapping[str, float]: ...

    def get_current_visuals(self) -> Mapping[str, Tensor]: ...

    def describe(self, verbose: bool = ..., /) -> str: ...


class ShownDataset(Protocol):
    """What the reporter needs of a dataset's loader."""

    print_message: Callable[[str], None]

    def __len__(self) -> int: ...

    def summary(self) -> str: ...

    def advise_if_slow(self) -> None: ...

    def fixed_batches(self, count: int, sizes: ImageSizes, /) -> Sequence[Mapping[str, Any]]: ...


def create_reporter(
    opt: argparse.Namespace,
    run: BaseRun,
    dataset: ShownDataset,
    model: ShownModel,
    scores: Sequence[Mapping[str, float]] = (),
) -> Reporter | NullReporter:
    """The reporter of this rank: only rank 0 shows the run. `scores`: the records of the validations so far."""
    return Reporter(opt, run, dataset, model, scores) if isinstance(run, Run) else NullReporter()


class NullReporter:
    """The reporter of a follower rank, which shows nothing."""

    def print_message(self, message: str) -> None:
        """Print nothing: rank 0 prints the same message."""

    def step(self) -> None:
        """Show nothing after a training step."""

    def show_scores(self, record: Mapping[str, float]) -> None:
        """Show nothing after a validation."""

    def show_validated(self, done: int) -> None:
        """Show nothing during a validation."""

    def __enter__(self) -> NullReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Reporter:
    """Shows the losses and images of a run at the frequencies that the options set; a context manager.

    A failure to show something does not stop the run: if the page can't be written, one line reports it.
    """

    def __init__(
        self,
        opt: argparse.Namespace,
        run: Run,
        dataset: ShownDataset,
        model: ShownModel,
        scores: Sequence[Mapping[str, float]] = (),
    ) -> None:
        progress = run.progress
        self.opt, self.run, self.progress, self.model, self.log = opt, run, progress, model, run.log
        self.scores = list(scores)
        print(dataset.summary())
        print(model.describe(opt.verbose))
        print(f"run {run.folder} on {model.device}, seed {opt.seed}", flush=True)
        if not opt.no_html:
            print(f"samples and losses: {run.folder / 'web' / 'index.html'}", flush=True)
        self.epoch_images = len(dataset)
        images_left = max(0, run.last_epoch - progress.epoch + 1) * len(dataset) - progress.images_in_epoch
        self.console = Console(progress.images + images_left, progress.images)
        self.print_message = run.print_message = dataset.print_message = self.console.print_message
        dataset.advise_if_slow()
        self._page_failed = False
        self.page = None if opt.no_html else self._create_page(run)
        self.fixed = self._create_fixed(dataset) if self.page else None
        self._update_curves()
        self.monitors = create_monitors(opt, self.log.records, self.print_message, self.scores)

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._update_curves()
        self._update_page(lambda page: page.finish(complete=self.progress.epoch > self.run.last_epoch))
        for monitor in self.monitors:
            monitor.close()
        self.console.close()
        if skipped := self.model.skipped_steps:
            print(f"--precision fp16 skipped {skipped} optimizer steps because of overflows", file=sys.stderr)
        if isinstance(error, TrainingDiverged):
            error.step = self.progress.step - error.steps_ago

    def step(self) -> None:
        """Show what is due after a training step. Losses and images are copied from their device only if needed."""
        opt, progress = self.opt, self.progress
        title = f"epoch {progress.epoch}/{self.run.last_epoch}"
        self.console.advance(progress.last_count, title)
        # Every epoch has a line and a row, however few images it has; a frequency of 0 switches them off.
        is_last = progress.images_in_epoch >= self.epoch_images
        has_line = bool(self.log.records) and self.log.records[-1]["epoch"] == progress.epoch
        if progress.due(opt.print_freq) or (opt.print_freq and is_last and not has_line):
            self._show_losses(title)
        to_page = self.page is not None and (
            progress.due(opt.update_html_freq)
            or (opt.update_html_freq > 0 and is_last and progress.epoch not in self.page.rows)
        )
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
            self.print_message(
                f"warning: can't write to {self.log.path} ({error}); the missing line will be written with the next one"
            )
        self.console.report(title, losses)
        for monitor in self.monitors:
            monitor.add_losses(record)

    def show_validated(self, done: int) -> None:
        """Show that a validation is running, and how many images are done."""
        self.console.advance(0, f"epoch {self.progress.epoch}/{self.run.last_epoch}, validation: {done} images")

    def show_scores(self, record: Mapping[str, float]) -> None:
        """Show a line of metrics.jsonl."""
        self.scores.append(record)
        self._update_curves()
        for monitor in self.monitors:
            monitor.add_scores(record)

    def _show_images(self, arrays: dict[str, np.ndarray], to_page: bool, to_monitors: bool) -> None:
        progress = self.progress

        def add_all(page: TrainingPage) -> None:
            page.add_samples(progress.epoch, progress.images, arrays, self._translate_fixed())
            page.update_curves(self.log.records, self.scores)

        if to_page:
            self._update_page(add_all)
        if to_monitors:
            for monitor in self.monitors:
                opaque = {name: images.to_rgb(array) for name, array in arrays.items()}
                monitor.show_images(opaque, progress.epoch, progress.images)

    # The training page.

    def _create_fixed(self, dataset: ShownDataset) -> FixedImages | None:
        """The fixed images; None without them, or if the model or the dataset can't validate."""
        model, opt = self.model, self.opt
        if not opt.fixed_images or model.has_fixed_samples:
            return None
        try:
            batches = dataset.fixed_batches(opt.fixed_images, model.image_sizes(Stage.VALIDATE))
        except Exception as error:  # a dataset of the user's own may be for training only
            self.print_message(f"note: the page shows no fixed images ({error})")
            return None
        return FixedImages(model, batches)

    def _translate_fixed(self) -> list[tuple[str, dict[str, np.ndarray]]]:
        try:
            return self.fixed.translate() if self.fixed else []
        except Exception as error:  # too little memory, or a model of the user's own that is for training only
            self.print_message(f"note: the page shows no fixed images from now on ({error})")
            self.fixed = None
            return []

    def _update_curves(self) -> None:
        self._update_page(lambda page: page.update_curves(self.log.records, self.scores))

    def _create_page(self, run: Run) -> TrainingPage:
        seen = None if run.from_weights else run.progress.images
        page = TrainingPage(run.folder / "web", self.opt.name, vars(self.opt), self.opt.display_winsize, seen=seen)
        if page.removed_epochs:
            epochs = ", ".join(map(str, page.removed_epochs))
            self.print_message(f"warning: images of epoch {epochs} are damaged or missing; removed them from the page")
        return page

    def _update_page(self, update: Callable[[TrainingPage], None]) -> None:
        if self.page is None:
            return
        try:
            update(self.page)
        except (OSError, UserError) as error:
            if not self._page_failed:
                self.print_message(f"warning: can't write the training page ({error}); will try again later")
            self._page_failed = True
        else:
            self._page_failed = False
