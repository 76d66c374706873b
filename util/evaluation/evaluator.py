"""Runs a model over a loader: translates every image and scores the translations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from util.evaluation.metric import Metric
from util.evaluation.scores import Descriptors, Scores
from util.runtime.processes import processes
from util.runtime.stop_signal import StopSignal


class Translated(Protocol):
    """The translation of a source image: images (C, H, W) in [-1, 1] by name, the source first."""

    path: str
    visuals: dict[str, Tensor]
    truth: dict[str, Tensor]
    """The ground truth of some of the visuals."""


class Real(Protocol):
    """A real image of the domain that the translations under `visual` belong to."""

    visual: str
    path: str
    image: Tensor


class Translator(Protocol):
    """What the evaluator needs from a model."""

    def set_input(self, batch: Mapping[str, Any], /) -> None: ...

    def test(self) -> None: ...

    def translations(self, batch: Mapping[str, Any], /) -> Sequence[Translated]: ...

    def real_images(self, batch: Mapping[str, Any], /) -> Sequence[Real]: ...

    def get_image_paths(self) -> Sequence[str]: ...


class Sink(Protocol):
    """Receives each translation, such as a gallery."""

    def add(self, path: str, images: Mapping[str, Tensor]) -> None:
        """Take the images of a source file, (C, H, W) in [-1, 1] by name, in the order to show them."""

    def refuse(self, problem: str) -> None:
        """Take note of a translation with values that are not finite, which is not scored, or raise UserError."""

    def advance(self, count: int) -> None:
        """Count source images as done."""

    def gather(self) -> None:
        """Collect what all ranks have received; called once, on all ranks, after the last image."""


@dataclass
class Evaluation:
    """The result of `evaluate`: scores and images of all ranks together."""

    scores: Scores
    images: int
    """Source images translated."""
    interrupted: bool
    """Whether a rank stopped early because `stop` was requested."""


def evaluate(
    model: Translator,
    loader: Iterable[Mapping[str, Any]],
    metrics: Sequence[Metric],
    sink: Sink,
    stop: StopSignal,
    reals: Descriptors | None = None,
) -> Evaluation:
    """Translate the images of a loader, score the translations, and pass each to the sink.

    Sets are compared with the real images of the same domain in the loader. Every rank translates its share of the
    images. After a stop request, the remaining images of this rank are skipped.

    `reals`: descriptors of real images that need not be computed again; those of new images are added to it.
    """
    scores, images, interrupted = Scores(metrics, reals={} if reals is None else reals), 0, False
    for batch in loader:
        model.set_input(batch)
        model.test()
        real_images = model.real_images(batch)
        for real in real_images:
            scores.add_real(real.visual, real.path, real.image)
        has_reals = {real.visual for real in real_images}
        for translation in model.translations(batch):
            if problem := non_finite(translation):
                sink.refuse(problem)
                continue
            add_scores(translation, scores, has_reals)
            sink.add(translation.path, shown_images(translation))
        images += len(model.get_image_paths())
        sink.advance(len(model.get_image_paths()))
        if interrupted := stop.requested:
            break
    sink.gather()
    total = Scores(metrics)
    for parts in processes().all_gather_objects((scores.values, scores.fakes, scores.reals)):
        total.merge(Scores(metrics, *parts))
    return Evaluation(total, sum(processes().all_gather_ints(images)), processes().any_rank(interrupted))


def non_finite(translation: Translated) -> str:
    """What is wrong if an image, or its translation, has NaN or infinity; else empty."""
    for name, image in translation.visuals.items():
        if not bool(torch.isfinite(image).all()):
            return (
                f"{translation.path}: {name} has values that are not finite (NaN or infinite), although all weights "
                "are finite: 16-bit numbers may overflow, so use --precision fp32; otherwise check this "
                "image and the network"
            )
    return ""


def add_scores(translation: Translated, scores: Scores, has_reals: Collection[str] = ()) -> None:
    """Score every generated image (fake...) of a translation.

    Its ground truth also counts as a real image, unless the batch has real images for that visual (`has_reals`).
    """
    first, image = next(iter(translation.visuals.items()))
    source = image if first.startswith("real") else None
    for name, image in translation.visuals.items():
        if name.startswith("fake"):
            truth = translation.truth.get(name)
            scores.add(name, translation.path, image, source=source, truth=truth)
            if truth is not None and name not in has_reals:
                scores.add_real(name, translation.path, truth)


def shown_images(translation: Translated) -> dict[str, Tensor]:
    """The images of a translation by name, with the ground truth if that is not among the visuals."""
    shown = dict(translation.visuals)
    for name, truth in translation.truth.items():
        if all(truth is not visual for visual in translation.visuals.values()):
            shown[name.replace("fake", "truth")] = truth
    return shown
