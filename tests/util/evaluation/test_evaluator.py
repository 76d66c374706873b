"""The evaluator: translations for the sink, scores, stopping early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from util.evaluation.evaluator import evaluate
from util.evaluation.metric import Metric, Needs
from util.evaluation.pair_metrics import MAE, SSIM
from util.runtime.stop_signal import StopSignal


@dataclass
class Translation:
    path: str
    visuals: dict[str, Tensor]
    truth: dict[str, Tensor] = field(default_factory=dict)


METRICS = (MAE, SSIM)


@dataclass
class Real:
    visual: str
    path: str
    image: Tensor


class Model:
    """Negates images. Those named paired* have ground truth."""

    def set_input(self, batch: Mapping[str, Any]) -> None:
        self.real, self.paths = batch["A"], batch["A_paths"]

    def test(self) -> None:
        self.fake = -self.real

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        return [
            Translation(
                path,
                {"real_A": real, "fake_B": fake},
                {"fake_B": torch.zeros_like(fake)} if path.startswith("paired") else {},
            )
            for path, real, fake in zip(self.paths, self.real, self.fake, strict=True)
        ]

    def real_images(self, batch: Mapping[str, Any]) -> list[Real]:
        return (
            [Real("fake_B", path, image) for path, image in zip(batch["B_paths"], batch["B"], strict=True)]
            if ("B" in batch)
            else []
        )

    def get_image_paths(self) -> Sequence[str]:
        return self.paths


class Sink:
    def __init__(self, stop_after: int = 100) -> None:
        self.stop = StopSignal()
        self.stop_after = stop_after
        self.added: list[tuple[str, list[str]]] = []
        self.done, self.gathered = 0, 0
        self.problems: list[str] = []

    def add(self, path: str, images: Mapping[str, Tensor]) -> None:
        self.added.append((path, list(images)))

    def refuse(self, problem: str) -> None:
        self.problems.append(problem)

    def advance(self, count: int) -> None:
        self.done += count
        if self.done >= self.stop_after:
            self.stop.signal = 15

    def gather(self) -> None:
        self.gathered += 1


BATCHES = [
    {"A": torch.full((2, 3, 8, 8), 1.0), "A_paths": ["paired1", "other"]},
    {"A": torch.full((1, 3, 8, 8), 0.0), "A_paths": ["paired2"]},
]


def test_every_translation_goes_to_the_sink_and_pairs_are_scored() -> None:
    sink = Sink()
    result = evaluate(Model(), BATCHES, METRICS, sink, sink.stop)
    assert sink.added == [
        ("paired1", ["real_A", "fake_B", "truth_B"]),
        ("other", ["real_A", "fake_B"]),
        ("paired2", ["real_A", "fake_B", "truth_B"]),
    ]
    figures = result.scores.figures()
    assert list(figures) == ["fake_B"] and result.scores.counts() == {"fake_B": 3}
    assert [(figure.metric, figure.images) for figure in figures["fake_B"]] == [(MAE, 2), (SSIM, 2)]
    assert figures["fake_B"][0].value == pytest.approx(128 / 255 / 2)  # 0 against 128, 128 against 128
    assert (result.images, result.interrupted, sink.done, sink.gathered) == (3, False, 3, 1)


def test_ground_truth_that_is_shown_already_is_not_shown_twice() -> None:
    class Paired(Model):
        def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
            truth = self.real[0]
            return [Translation("a", {"fake_B": self.fake[0], "real_B": truth}, {"fake_B": truth})]

    sink = Sink()
    evaluate(Paired(), BATCHES[1:], METRICS, sink, sink.stop)
    assert sink.added == [("a", ["fake_B", "real_B"])]


def test_a_stop_request_ends_after_the_batch() -> None:
    sink = Sink(stop_after=1)
    result = evaluate(Model(), BATCHES, METRICS, sink, sink.stop)
    assert (result.images, result.interrupted, sink.gathered) == (2, True, 1)
    assert result.scores.figures()["fake_B"][0].images == 1


def brightness(image: Tensor) -> float:
    return float(image.mean())


BRIGHTNESS = Metric("brightness", "brightness", "brightness", Needs.IMAGE, brightness, (0, 1), True)


def test_a_metric_without_pairs_scores_every_generated_image() -> None:
    sink = Sink()
    result = evaluate(Model(), BATCHES, [*METRICS, BRIGHTNESS], sink, sink.stop)
    mae, _, brightness = result.scores.figures()["fake_B"]
    assert brightness.images == 3 and brightness.value == pytest.approx((0 + 0 + 128 / 255) / 3)
    assert mae.value == pytest.approx(128 / 255 / 2)


def test_a_metric_of_the_source_takes_the_first_visual() -> None:
    def difference(image: Tensor, source: Tensor) -> float:
        return float((source - image).mean())

    metric = Metric("change", "change", "change", Needs.SOURCE, difference, (-1, 1), False)
    sink = Sink()
    (figure,) = evaluate(Model(), BATCHES, [metric], sink, sink.stop).scores.figures()["fake_B"]
    assert (figure.images, figure.value) == (3, pytest.approx((1 + 1 + 0) / 3))  # of 1, 1 and 0 in [-1, 1]


class Mean:
    """Describes an image by its mean."""

    name = "mean"

    def __call__(self, image: Tensor) -> np.ndarray:
        return np.array([float(image.mean())], dtype=np.float32)


def distance(fakes: np.ndarray, reals: np.ndarray) -> float:
    return float(abs(fakes.mean() - reals.mean()))


SET = Metric("set", "set", "distance", Needs.SETS, distance, (0, 1), False, describe=Mean())


def test_a_metric_of_sets_compares_with_the_real_images_of_the_batch() -> None:
    """A repeated image counts once, and ground truth does not count beside the images of the domain."""
    B = {"B": torch.full((2, 3, 8, 8), 1.0), "B_paths": ["b1", "b2"]}
    again = {"B": torch.full((1, 3, 8, 8), 1.0), "B_paths": ["b1"]}
    other = {"A": torch.full((1, 3, 8, 8), 1.0), "A_paths": ["other"], "B": -torch.ones(1, 3, 8, 8), "B_paths": ["b3"]}
    sink = Sink()
    result = evaluate(Model(), [BATCHES[0] | B, BATCHES[1] | again, other], [SET], sink, sink.stop)
    assert set(result.scores.reals["fake_B"]) == {"b1", "b2", "b3"}
    (figure,) = result.scores.figures()["fake_B"]
    assert (figure.images, figure.value) == (3, pytest.approx(abs(128 / 255 / 3 - 2 / 3)))


def test_without_images_of_the_domain_the_ground_truths_are_the_set() -> None:
    sink = Sink()
    result = evaluate(Model(), BATCHES, [SET], sink, sink.stop)
    assert set(result.scores.reals["fake_B"]) == {"paired1", "paired2"}


def test_figures_do_not_depend_on_batches_and_order() -> None:
    """As ranks share the images, and as loaders order them."""
    torch.manual_seed(1)
    A, B = torch.rand(6, 3, 8, 8) * 2 - 1, torch.rand(6, 3, 8, 8) * 2 - 1
    names = [f"paired{i}" for i in range(6)]
    found = []
    for order, size in ((range(6), 1), ((5, 3, 1, 0, 2, 4), 4)):
        order = list(order)
        batches = [order[i : i + size] for i in range(0, 6, size)]
        loader = [
            {"A": A[part], "A_paths": [names[i] for i in part], "B": B[part], "B_paths": [f"b{i}" for i in part]}
            for part in batches
        ]
        sink = Sink()
        figures = evaluate(Model(), loader, [*METRICS, BRIGHTNESS, SET], sink, sink.stop).scores.figures(intervals=True)
        found.append([(figure.value, figure.interval, figure.images) for figure in figures["fake_B"]])
    assert found[0] == found[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_translation_that_is_not_finite_is_refused_and_not_scored(value: float) -> None:
    class Overflowing(Model):
        def test(self) -> None:
            super().test()
            if "paired1" in self.paths:
                self.fake[0, :, 3, 3] = value

    sink = Sink()
    result = evaluate(Overflowing(), BATCHES, METRICS, sink, sink.stop)
    assert [problem[:47] for problem in sink.problems] == ["paired1: fake_B has values that are not finite "]
    assert [path for path, _ in sink.added] == ["other", "paired2"] == sorted(result.scores.values["fake_B"])


def test_descriptors_of_real_images_are_computed_once() -> None:
    class Counting(Mean):
        calls = 0

        def __call__(self, image: Tensor) -> np.ndarray:
            self.calls += 1
            return super().__call__(image)

    describe, reals = Counting(), {}
    metric = Metric("set", "set", "distance", Needs.SETS, distance, (0, 1), False, describe=describe)
    loader = [BATCHES[1] | {"B": torch.ones(1, 3, 8, 8), "B_paths": ["b"]}]
    figures = []
    for expected in (2, 3):  # a translation and a real image; then the translation alone
        sink = Sink()
        figures.append(evaluate(Model(), loader, [metric], sink, sink.stop, reals).scores.figures()["fake_B"][0].value)
        assert describe.calls == expected
    assert figures[0] == figures[1]
