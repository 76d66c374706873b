"""Scores of systems against the same real images, and differences of two systems on the same sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from data.formats.image_reader import UnreadableImage
from scripts.evaluation.folders import read
from scripts.evaluation.systems import System
from util.errors import UserError
from util.evaluation.intervals import difference_interval
from util.evaluation.metric import Interval, Metric, Needs
from util.evaluation.scores import Figure, Scores
from util.monitors.console import Console

VISUAL = "translations"


@dataclass(frozen=True)
class Difference:
    """The figure of one system minus that of another, on the images that both translated."""

    metric: Metric
    value: float
    images: int
    interval: Interval | None

    def text(self) -> str:
        """Such as `KID x1000 (Lite0) -2.31 [-3.52, -1.10]`."""
        digits = self.metric.digits
        bounds = f" [{self.interval[0]:+.{digits}f}, {self.interval[1]:+.{digits}f}]" if self.interval else ""
        return f"{self.metric.label} {self.value:+.{digits}f}{bounds}"


@dataclass
class Comparison:
    """The images that translations are compared with: real ones, and by name sources and ground truth."""

    metrics: Sequence[Metric]
    reals: Mapping[str, Path]
    sources: Mapping[str, Path] = field(default_factory=dict)
    truths: Mapping[str, Path] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Files that can't be used, and why."""
    _described: Scores | None = None

    def score(self, system: System) -> Scores:
        """The scores of a system. The descriptors of the real images are computed once.

        Raises UserError if no translation can be read.
        """
        scores = Scores(self.metrics, reals=self._real_images().reals)
        console = Console(len(system.images), 0)
        for name, path in sorted(system.images.items()):
            console.advance(1, "evaluating")
            if (image := self._load(path, system.load, console)) is None:
                continue
            source, truth = self._named(self.sources, name, console), self._named(self.truths, name, console)
            if truth is not None and truth.shape != image.shape:
                sizes = " and ".join(f"{picture.shape[2]}x{picture.shape[1]}" for picture in (image, truth))
                self._skip(self.truths[name], f"not compared as a pair: {sizes} pixels", console)
                truth = None
            scores.add(VISUAL, name, image, source=source, truth=truth)
        console.close()
        if not scores.counts().get(VISUAL):
            raise UserError(f"{system.name}: none of the {len(system.images)} images can be read")
        return scores

    def _real_images(self) -> Scores:
        if self._described is None:
            self._described = Scores(self.metrics)
            if any(metric.needs is Needs.SETS for metric in self.metrics):
                console = Console(len(self.reals), 0)
                for name, path in sorted(self.reals.items()):
                    console.advance(1, "reading real images")
                    if (image := self._load(path, read, console)) is not None:
                        self._described.add_real(VISUAL, name, image)
                console.close()
        return self._described

    def _named(self, paths: Mapping[str, Path], name: str, console: Console) -> Tensor | None:
        return self._load(paths[name], read, console) if name in paths else None

    def _load(self, path: Path, load: Callable[[Path], Tensor], console: Console) -> Tensor | None:
        """The image; None for an unreadable one, which is reported once."""
        try:
            return load(path)
        except UnreadableImage as error:
            self._skip(path, error.reason, console)
            return None

    def _skip(self, path: Path, reason: str, console: Console) -> None:
        if str(path) not in self.skipped:
            self.skipped[str(path)] = reason
            console.print_message(f"warning: {path}: {reason}; skipped")


def differences(first: Scores, second: Scores) -> list[Difference]:
    """For each metric, the first system minus the second, on the images that both have scores of, paired by name."""
    found = []
    for metric in first.metrics:
        pairs = _set_pairs if metric.needs is Needs.SETS else _score_pairs
        x, y = pairs(metric, first, second)
        reals = first.descriptors(metric, VISUAL)[1] if metric.needs is Needs.SETS else None
        if len(x) < max(1, metric.smallest_count) or (reals is not None and len(reals) < metric.smallest_count):
            continue
        if reals is None:
            value = float((x - y).mean())
        else:
            value = (metric.compute(x, reals) or 0.0) - (metric.compute(y, reals) or 0.0)
        found.append(Difference(metric, value, len(x), difference_interval(metric, x, y, reals)))
    return found


def _score_pairs(metric: Metric, first: Scores, second: Scores) -> tuple[np.ndarray, np.ndarray]:
    x, y = first.values[VISUAL], second.values[VISUAL]
    names = sorted(name for name in x.keys() & y.keys() if metric.key in x[name] and metric.key in y[name])
    return np.array([x[name][metric.key] for name in names]), np.array([y[name][metric.key] for name in names])


def _set_pairs(metric: Metric, first: Scores, second: Scores) -> tuple[np.ndarray, np.ndarray]:
    key = metric.describe.name if metric.describe else ""
    x, y = first.fakes.get(VISUAL, {}), second.fakes.get(VISUAL, {})
    names = sorted(name for name in x.keys() & y.keys() if key in x[name] and key in y[name])
    return np.array([x[name][key] for name in names]), np.array([y[name][key] for name in names])


def best_of(figures: Sequence[Sequence[Figure]]) -> tuple[int, str]:
    """Which of several systems is the best, by KID, or the first metric that all have; and the rule as text."""
    common = [figure.metric for figure in figures[0]]
    for others in figures[1:]:
        keys = {figure.metric.key for figure in others}
        common = [metric for metric in common if metric.key in keys]
    if not common:
        raise UserError("the checkpoints have no figure in common: more images, or other --metrics, are needed")
    metric = next((metric for metric in common if metric.name == "kid"), common[0])
    values = [next(figure.value for figure in found if figure.metric.key == metric.key) for found in figures]
    best = 0
    for i, value in enumerate(values):
        if metric.is_better(value, values[best]):
            best = i
    return best, f"{'highest' if metric.higher_is_better else 'lowest'} {metric.label}"
