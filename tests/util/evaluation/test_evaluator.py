"""The evaluator: translations for the sink, scores, stopping early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from util.errors import UserError
from util.evaluation.evaluator import evaluate
from util.evaluation.metrics import METRICS, Metric
from util.runtime.stop_signal import StopSignal


@dataclass
class Translation:
    path: str
    visuals: dict[str, Tensor]
    truth: dict[str, Tensor] = field(default_factory=dict)


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

    def get_image_paths(self) -> Sequence[str]:
        return self.paths


class Sink:
    def __init__(self, stop_after: int = 100) -> None:
        self.stop = StopSignal()
        self.stop_after = stop_after
        self.added: list[tuple[str, list[str]]] = []
        self.done, self.gathered = 0, 0

    def add(self, path: str, images: Mapping[str, Tensor]) -> None:
        self.added.append((path, list(images)))

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
    means = result.scores.means()
    assert list(means) == ["fake_B"] and means["fake_B"]["images"] == 2
    assert means["fake_B"]["mean_absolute_error"] == pytest.approx(128 / 255 / 2)  # 0 against 128, 128 against 128
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
    assert result.scores.means()["fake_B"]["images"] == 1


def brightness(image: Tensor) -> float:
    return float(image.mean())


def test_a_metric_without_pairs_scores_every_generated_image() -> None:
    metric = Metric("brightness", "brightness", "brightness", brightness, (0, 1), True, needs_pairs=False)
    sink = Sink()
    result = evaluate(Model(), BATCHES, [*METRICS, metric], sink, sink.stop)
    means = result.scores.means()["fake_B"]
    assert means["images"] == 3 and means["brightness"] == pytest.approx((0 + 0 + 128 / 255) / 3)
    assert means["mean_absolute_error"] == pytest.approx(128 / 255 / 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_translation_that_is_not_finite_is_an_error_that_names_the_image(value: float) -> None:
    class Overflowing(Model):
        def test(self) -> None:
            super().test()
            self.fake[:, :, 3, 3] = value

    sink = Sink()
    with pytest.raises(UserError, match=r"paired1: fake_B has values that are not finite"):
        evaluate(Overflowing(), BATCHES, METRICS, sink, sink.stop)
    assert sink.added == []
