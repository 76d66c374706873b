"""What test.py writes and shows: the gallery, metrics.json, live monitors, a progress bar."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from util import images
from util.errors import UserError
from util.evaluation.best import describe_checkpoint
from util.evaluation.evaluator import Evaluation
from util.evaluation.intervals import FEWEST_VALUES
from util.evaluation.results_folder import ResultsFolder
from util.evaluation.scores import Figure, Scores, text
from util.files import atomic_write, json_text
from util.monitors import create_monitors
from util.monitors.console import Console
from util.pages.gallery import Gallery
from util.runtime.processes import processes

METRICS_FILE = "metrics.json"


class Tested(Protocol):
    """What the results need from a loader."""

    print_message: Callable[[str], None]

    def __len__(self) -> int: ...


class Results:
    """A Sink (see util.evaluation.evaluator) that fills the folder results/<name>/<phase>_<epoch>.

    See util.evaluation.results_folder for repeated, different and interrupted tests.
    """

    def __init__(self, opt: argparse.Namespace, dataset: Tested, identity: Mapping[str, Any]) -> None:
        """`identity`: all that the results depend on, by name."""
        self.opt, self.total, self.done = opt, len(dataset), 0
        ranks = processes()
        folder = Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}"
        main = ResultsFolder(folder, identity) if ranks.is_main else None
        partial = ranks.broadcast(main.partial if main else None)
        self.folder = main or ResultsFolder(folder, identity, partial)
        title = f"{opt.name}, {opt.phase}, epoch {opt.epoch}"
        self.gallery = Gallery(partial, title, opt.display_winsize, shared=ranks.world_size > 1)
        own_images = len(ranks.shard(range(min(opt.num_test, self.total))))
        self.console = Console(own_images, 0, silent=not ranks.is_main)
        dataset.print_message = self.console.print_message
        self.monitors = create_monitors(opt, [], self.console.print_message) if ranks.is_main else []

    def add(self, path: str, images_by_name: Mapping[str, Tensor]) -> None:
        arrays = {name: images.to_array(image, self.opt.aspect_ratio) for name, image in images_by_name.items()}
        self.gallery.add_row(images.name_below(Path(self.opt.dataroot), self.opt.phase, path), arrays)
        for monitor in self.monitors:
            monitor.show_images(arrays, 0, self.done)

    def refuse(self, problem: str) -> None:
        """Raise UserError: a gallery with an image missing would look complete."""
        raise UserError(problem)

    def advance(self, count: int) -> None:
        self.done += count
        self.console.advance(count, "translating")

    def gather(self) -> None:
        self.console.close()
        self.gallery.finish_pictures()
        for rows in processes().all_gather_objects(self.gallery.rows)[1:]:
            self.gallery.merge(rows)

    def finish(self, evaluation: Evaluation) -> None:
        """Write the gallery and metrics.json, and print a summary; on rank 0, after `gather`."""
        opt, figures = self.opt, evaluation.scores.figures(intervals=True)
        for monitor in self.monitors:
            monitor.add_losses(
                {f"{name} {figure.metric.key}": figure.value for name, found in figures.items() for figure in found}
            )
            monitor.close()
        self._write(evaluation.scores, figures, ", interrupted" if evaluation.interrupted else "")
        if evaluation.interrupted:
            folder, note, state = self.folder.partial, "", "interrupted: "
        else:
            (folder, note), state = self.folder.publish(), ""
        print_figures(figures)
        if not evaluation.interrupted:
            self._print_other_checkpoint(folder, figures)
        if note:
            print(note)
        print(f"{state}translated {evaluation.images} of {self.total} images: {folder / 'index.html'}")
        if opt.num_test < self.total and not evaluation.interrupted:
            print(f"use --num_test {self.total} to translate all images")

    def _write(self, scores: Scores, figures: Mapping[str, Sequence[Figure]], state: str) -> None:
        """Write the page and metrics.json into the partial folder."""
        opt = self.opt
        checkpoint = describe_checkpoint(Path(opt.checkpoints_dir, opt.name), opt.epoch, opt.phase)
        self.gallery.title += state
        summary = {name: text(found, intervals=False) for name, found in figures.items()}
        self.gallery.close({"weights": checkpoint} | summary if summary else {})
        if figures:
            record = {"epoch": opt.epoch, "checkpoint": checkpoint, "phase": opt.phase, "eval": opt.eval}
            record |= as_json(scores, figures, lambda path: images.name_below(Path(opt.dataroot), opt.phase, path))
            atomic_write(self.folder.partial / METRICS_FILE, json_text(record))

    def _print_other_checkpoint(self, folder: Path, figures: Mapping[str, Sequence[Figure]]) -> None:
        """Print the figures of the best checkpoint next to those of the last one, or the reverse, after equal tests.

        Figures of weights that were saved again since then, by further training, are left out.
        """
        epoch = {"latest": "best", "best": "latest"}.get(self.opt.epoch)
        other = self.folder.find(epoch=epoch) if epoch else None
        try:
            record = json.loads((other / METRICS_FILE).read_text(encoding="utf-8")) if other else {}
            checkpoint, scores = record.get("checkpoint", ""), record.get("scores", {})
            weights = Path(self.opt.checkpoints_dir, self.opt.name).glob(f"{epoch}_net_*.pth")
            saved = max((file.stat().st_mtime for file in weights), default=0.0)
            if other and saved > (other / METRICS_FILE).stat().st_mtime:
                return
        except (OSError, ValueError, AttributeError):
            return
        if checkpoint:
            print(f"for comparison, the {checkpoint} ({other}):")
            for name, found in figures.items():
                values = scores.get(name, {})
                known = [figure.metric for figure in found if values.get(figure.metric.key) is not None]
                print(f"  {name}: {', '.join(metric.text(values[metric.key]) for metric in known)}")


def as_json(scores: Scores, figures: Mapping[str, Sequence[Figure]], name_of: Callable[[str], str]) -> dict[str, Any]:
    """Figures by direction and key, their intervals and numbers of images, and the scores of single images by name."""
    return {
        "scores": {
            visual: {"images": scores.counts()[visual]} | {figure.metric.key: figure.value for figure in found}
            for visual, found in figures.items()
        },
        "intervals": {
            visual: {figure.metric.key: list(figure.interval) for figure in found if figure.interval}
            for visual, found in figures.items()
        },
        "counts": {visual: {figure.metric.key: figure.images for figure in found} for visual, found in figures.items()},
        "images": {
            visual: {name_of(path): values for path, values in sorted(files.items())}
            for visual, files in scores.values.items()
        },
    }


def print_figures(figures: Mapping[str, Sequence[Figure]]) -> None:
    """Print the figures of each direction, one a line, with 95% confidence intervals, and the notes on them."""
    for name, found in figures.items():
        print(f"{name}:")
        for figure in found:
            print(f"  {figure.metric.text(figure.value, figure.interval)}, over {figure.images} images")
    everything = [figure for found in figures.values() for figure in found]
    for label, count in {figure.metric.label: figure.images for figure in everything if figure.is_biased}.items():
        print(f"note: {label} over {count} images is biased: compare KID instead")
    if everything and (fewest := min(figure.images for figure in everything)) < FEWEST_VALUES:
        print(f"note: no confidence intervals for fewer than {FEWEST_VALUES} images ({fewest} here)")
