from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

from util.pages.charts import (
    BOTTOM,
    LEFT,
    MOST_POINTS,
    RIGHT,
    TOP,
    draw_loss_curves,
    draw_score_curves,
    nice_ticks,
    running_mean,
    thin,
    tick_label,
)

SVG = "{http://www.w3.org/2000/svg}"


def records(count: int, per_epoch: int = 4, **losses: Any) -> list[dict[str, Any]]:
    """Lines of losses.jsonl; a loss is a number or a function of the line's number."""
    return [
        {"epoch": index // per_epoch + 1, "step": index + 1, "images": index + 1, "seconds": 0.1 * index}
        | {name: loss(index) if callable(loss) else loss for name, loss in losses.items()}
        for index in range(count)
    ]


def lines(drawing: str) -> list[np.ndarray]:
    """The points (n, 2) of each line of a drawing, in pixels."""
    paths = ElementTree.fromstring(drawing).iter(f"{SVG}path")
    return [np.array([point.split() for point in path.attrib["d"][1:].split("L")], dtype=float) for path in paths]


def words(drawing: str) -> str:
    return " ".join(ElementTree.fromstring(drawing).itertext())


def test_losses_of_a_kind_share_a_panel() -> None:
    names = ["D_A", "G_A", "cycle_A", "idt_A", "lr", "D_B", "G_B", "cycle_B", "idt_B"]
    losses: dict[str, Any] = dict.fromkeys(names, 1.0)
    drawings = draw_loss_curves(records(8, **losses))
    assert list(drawings) == ["D", "G", "cycle", "idt", "lr"]
    assert [len(lines(drawing)) for drawing in drawings.values()] == [2, 2, 2, 2, 1]
    assert "cycle_A" in words(drawings["cycle"]) and "cycle_B" in words(drawings["cycle"])


def test_other_losses_have_their_own_panels() -> None:
    drawings = draw_loss_curves(records(8, G_GAN=1.0, G_L1=30.0, D_real=0.5, D_fake=0.4, perceptual=2.0))
    assert list(drawings) == ["G_GAN", "G_L1", "D", "perceptual"]


def test_without_records_there_is_nothing_to_draw() -> None:
    assert draw_loss_curves([]) == {} == draw_score_curves([])


def test_each_metric_of_the_validation_has_a_panel_with_both_directions() -> None:
    scores = [
        {
            "epoch": 5 * i,
            "step": i,
            "images": i,
            "fake_A SWD x1000": 50.0 - i,
            "fake_B SWD x1000": 40.0,
            "fake_B SSIM": 0.5,
        }
        | {"mean SWD x1000": 45.0}
        for i in (1, 2, 3)
    ]
    drawings = draw_score_curves(scores)
    assert list(drawings) == ["SWD x1000", "SSIM"]
    assert [len(lines(drawing)) for drawing in drawings.values()] == [2, 1]
    assert "fake_A  47" in words(drawings["SWD x1000"]) and "14" in words(drawings["SSIM"])


def test_a_curve_lies_where_its_values_are() -> None:
    (line,) = lines(draw_loss_curves(records(9, per_epoch=3, loss=lambda index: float(index)))["loss"])
    np.testing.assert_allclose(line[:, 0], np.linspace(1 / 3, 3, 9) / 3 * (RIGHT - LEFT) + LEFT, atol=0.1)
    assert line[0, 1] == pytest.approx(BOTTOM, abs=0.1)  # 0 at the bottom, and upwards in equal steps
    np.testing.assert_allclose(np.diff(line[:, 1]), np.full(8, (line[-1, 1] - line[0, 1]) / 8), atol=0.11)
    assert TOP <= line[-1, 1] < TOP + 10


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_non_finite_values_are_omitted(bad: float | None) -> None:
    given = records(12, loss=lambda index: bad if index % 3 == 1 else 1.0 + index, other=bad)
    drawings = draw_loss_curves(given)
    (line,) = lines(drawings["loss"])
    assert len(line) == 8 and np.isfinite(line).all()
    assert "no finite value" in words(drawings["other"])


@pytest.mark.parametrize("values", [lambda i: -5.0 - i, lambda i: 1e30 * (i - 5), lambda i: -1e-30, lambda i: 0.0])
def test_any_size_and_sign_stays_in_the_picture(values: Any) -> None:
    (line,) = lines(draw_loss_curves(records(12, loss=values))["loss"])
    assert ((line[:, 1] >= TOP - 1) & (line[:, 1] <= BOTTOM + 1)).all()


def test_a_single_record_is_a_dot() -> None:
    (line,) = lines(draw_loss_curves(records(1, loss=0.5))["loss"])
    assert (line[0] == line[1]).all()


def test_long_runs_are_thinned_and_smoothed() -> None:
    noise = np.random.default_rng(0).normal(1, 0.2, 30_000)
    measured, smooth = lines(draw_loss_curves(records(30_000, 100, loss=lambda index: noise[index]))["loss"])
    assert 500 < len(measured) <= MOST_POINTS and 500 < len(smooth) <= MOST_POINTS
    assert smooth[:, 1].std() < measured[:, 1].std() / 3


def test_names_are_text_in_the_picture() -> None:
    losses: dict[str, Any] = {"<script>&": 1.0}
    (drawing,) = draw_loss_curves(records(3, **losses)).values()
    assert "<script>&" in words(drawing)


def test_a_running_mean_is_centered_and_shorter_at_the_ends() -> None:
    np.testing.assert_allclose(running_mean(np.array([0.0, 3.0, 6.0, 9.0]), 3), [1.5, 3.0, 6.0, 7.5])


def test_thinning_keeps_a_spike() -> None:
    y = np.zeros(10_000)
    y[4321] = 7.0
    x, thinned = thin(np.arange(10_000.0), y, 1000)
    assert len(thinned) == 1000 and thinned.max() == 7.0
    assert abs(x[thinned.argmax()] - 4321) < 20


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.5, 1]), (0, 23, [0, 10, 20]), (-0.3, 0.3, [-0.2, 0, 0.2]), (0, 2e-4, [0, 1e-4, 2e-4])],
)
def test_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    np.testing.assert_allclose(nice_ticks(low, high, 3), ticks, atol=1e-12)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0.0, "0"),
        (0.1 + 0.2, "0.3"),
        (-2.0, "-2"),
        (150.0, "150"),
        (2e-4, "2e-4"),
        (1.5e-5, "1.5e-5"),
        (2e6, "2e6"),
    ],
)
def test_labels_are_short(value: float, label: str) -> None:
    assert tick_label(value) == label
