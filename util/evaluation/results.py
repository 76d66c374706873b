"""What test.py writes and shows: the gallery, metrics.json, live monitors, a progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from util import images
from util.evaluation.evaluator import Evaluation
from util.evaluation.metrics import describe
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
    """A Sink (see util.evaluation.evaluator) that fills the folder results/<name>/<phase>_<epoch>."""

    def __init__(self, opt: argparse.Namespace, dataset: Tested) -> None:
        self.opt, self.total, self.done = opt, len(dataset), 0
        ranks = processes()
        folder = Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}"
        title = f"{opt.name}, {opt.phase}, epoch {opt.epoch}"
        self.gallery = Gallery(folder, title, opt.display_winsize, shared=ranks.world_size > 1)
        self.scores_file = folder / "metrics.json"
        if ranks.is_main:
            self.scores_file.unlink(missing_ok=True)  # of an earlier test
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
        summary = {name: describe(scores, metrics) for name, scores in means.items()}
        page = self.gallery.close(summary)
        if means:
            record = {"epoch": opt.epoch, "phase": opt.phase, "eval": opt.eval, "scores": means}
            atomic_write(self.scores_file, json_text(record))
        for name, words in summary.items():
            print(f"{name}: {words}, over {means[name]['images']} images with ground truth")
        print(f"translated {evaluation.images} of {self.total} images: {page}")
        if opt.num_test < self.total and not evaluation.interrupted:
            print(f"use --num_test {self.total} to translate all images")
