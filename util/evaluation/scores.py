"""The scores of a set of translations: of every image by its file, and of the whole set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from util.evaluation.intervals import mean_interval
from util.evaluation.metric import Interval, Metric, Needs, eight_bit

ImageScores = dict[str, dict[str, dict[str, float]]]
"""By visual, file and key."""
Descriptors = dict[str, dict[str, dict[str, np.ndarray]]]
"""By visual, file and descriptor."""


@dataclass(frozen=True)
class Figure:
    """A metric of all translations under one visual."""

    metric: Metric
    value: float
    images: int
    """The number of translations that were scored."""
    interval: Interval | None = None

    @property
    def is_biased(self) -> bool:
        """Whether there are too few images for an unbiased figure."""
        return self.images < self.metric.warn_below


@dataclass
class Scores:
    """Scores of translations, by visual (fake_A, fake_B). Images are compared as 8-bit files would store them.

    A file counts once, however often it is added, and the order does not matter: figures are computed over files in
    the order of their names.
    """

    metrics: Sequence[Metric]
    values: ImageScores = field(default_factory=dict)
    """The scores of single images."""
    fakes: Descriptors = field(default_factory=dict)
    reals: Descriptors = field(default_factory=dict)
    """Of the real images that the translations under a visual are compared with, by the files of the real images."""

    def add(
        self, visual: str, path: str, image: Tensor, *, source: Tensor | None = None, truth: Tensor | None = None
    ) -> None:
        """Score a translation; images are (C, H, W) in [-1, 1]. The ground truth has the translation's shape."""
        files = self.values.setdefault(visual, {})
        if path in files:
            return
        files[path] = {}
        image = eight_bit(image)
        arguments: dict[Needs, tuple[Tensor, ...]] = {Needs.IMAGE: (image,)}
        if source is not None:
            arguments[Needs.SOURCE] = (image, eight_bit(source))
        if truth is not None:
            arguments[Needs.PAIR] = (image, eight_bit(truth))
        for metric in self.metrics:
            if metric.needs not in arguments or min(image.shape[-2:]) < metric.smallest_image:
                continue
            if (score := metric.compute(*arguments[metric.needs])) is not None:
                files[path][metric.key] = score
        self._describe(self.fakes, visual, path, image)

    def add_real(self, visual: str, path: str, image: Tensor) -> None:
        """Add a real image (C, H, W) in [-1, 1] of the domain that the translations under `visual` belong to."""
        if path not in self.reals.get(visual, {}):
            self._describe(self.reals, visual, path, eight_bit(image))

    def _describe(self, descriptors: Descriptors, visual: str, path: str, image: Tensor) -> None:
        """Compute the descriptors of an image for the metrics of sets, each once."""
        wanted = {metric.describe.name: metric.describe for metric in self.metrics if metric.describe is not None}
        for name, describe in wanted.items():
            if (descriptor := describe(image)) is not None:
                descriptors.setdefault(visual, {}).setdefault(path, {})[name] = descriptor

    def merge(self, other: Scores) -> None:
        """Add the scores of another rank."""
        for mine, theirs in ((self.values, other.values), (self.fakes, other.fakes), (self.reals, other.reals)):
            for visual, files in theirs.items():
                mine.setdefault(visual, {}).update(files)  # type: ignore[arg-type]

    def counts(self) -> dict[str, int]:
        """The number of translations by visual."""
        return {visual: len(files) for visual, files in self.values.items()}

    def has(self, metric: Metric) -> bool:
        """Whether a translation has a score of this metric or, for a metric of sets, can be compared with a set."""
        if metric.needs is Needs.SETS:
            return any(min(map(len, self.descriptors(metric, visual))) > 0 for visual in self.fakes)
        return any(metric.key in found for files in self.values.values() for found in files.values())

    def figures(self, *, intervals: bool = False) -> dict[str, list[Figure]]:
        """The figures by visual, in the order of `metrics`; metrics with too few images are omitted."""
        found: dict[str, list[Figure]] = {}
        for visual in self.values:
            for metric in self.metrics:
                compute = self._set_figure if metric.needs is Needs.SETS else self._mean_figure
                if (figure := compute(metric, visual, intervals)) is not None:
                    found.setdefault(visual, []).append(figure)
        return found

    def _mean_figure(self, metric: Metric, visual: str, intervals: bool) -> Figure | None:
        files = self.values[visual]
        values = [files[path][metric.key] for path in sorted(files) if metric.key in files[path]]
        if len(values) < max(1, metric.smallest_count):
            return None
        return Figure(
            metric, math.fsum(values) / len(values), len(values), mean_interval(values) if intervals else None
        )

    def _set_figure(self, metric: Metric, visual: str, intervals: bool) -> Figure | None:
        fakes, reals = self.descriptors(metric, visual)
        if min(len(fakes), len(reals)) < max(1, metric.smallest_count):
            return None
        if (value := metric.compute(fakes, reals)) is None:
            return None
        interval = metric.interval(fakes, reals) if intervals and metric.interval is not None else None
        return Figure(metric, value, len(fakes), interval)

    def descriptors(self, metric: Metric, visual: str) -> tuple[np.ndarray, np.ndarray]:
        """The descriptors of the translations and of the real images, in the order of the files' names."""
        name = metric.describe.name if metric.describe else ""

        def stack(files: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
            return np.array([files[path][name] for path in sorted(files) if name in files[path]])

        return stack(self.fakes.get(visual, {})), stack(self.reals.get(visual, {}))


def text(figures: Sequence[Figure], *, intervals: bool = True) -> str:
    """Figures in one line."""
    return ", ".join(figure.metric.text(figure.value, figure.interval if intervals else None) for figure in figures)
