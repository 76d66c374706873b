"""What test.py writes and shows: the gallery, metrics.json, live monitors, a progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from util import images
from util.evaluation.evaluator import Evaluation
from util.evaluation.metrics import Metric, describe
from util.evaluation.results_folder import ResultsFolder
from util.files import atomic_write, json_text
from util.monitors import create_monitors
from util.monitors.console import Console
from util.pages.gallery import Gallery
from util.runtime.processes import processes


class Tested(Protocol):
    """What the results need of a loader."""

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
        opt, means, metrics = self.opt, evaluation.scores.means(), evaluation.scores.metrics
        for monitor in self.monitors:
            monitor.add_losses(
                {f"{name} {key}": value for name, scores in means.items() for key, value in scores.items()}
            )
            monitor.close()
        self._write(means, metrics, ", interrupted" if evaluation.interrupted else "")
        if evaluation.interrupted:
            folder, note, state = self.folder.partial, "", "interrupted: "
        else:
            (folder, note), state = self.folder.publish(), ""
        for name, scores in means.items():
            print(f"{name}: {describe(scores, metrics)}, over {scores['images']} images with ground truth")
        if note:
            print(note)
        print(f"{state}translated {evaluation.images} of {self.total} images: {folder / 'index.html'}")
        if opt.num_test < self.total and not evaluation.interrupted:
            print(f"use --num_test {self.total} to translate all images")

    def _write(self, means: Mapping[str, Mapping[str, float]], metrics: Sequence[Metric], state: str) -> None:
        """Write the page and metrics.json into the partial folder."""
        self.gallery.title += state
        self.gallery.close({name: describe(scores, metrics) for name, scores in means.items()})
        if means:
            opt = self.opt
            record = {"epoch": opt.epoch, "phase": opt.phase, "eval": opt.eval, "scores": means}
            atomic_write(self.folder.partial / "metrics.json", json_text(record))
