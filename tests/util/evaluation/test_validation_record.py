"""A line of metrics.jsonl: the mean over directions is that of all of them, or missing."""

from __future__ import annotations

import argparse
import math
from typing import Any

import pytest

from util.evaluation.best import Rule
from util.evaluation.pair_metrics import MAE, PSNR
from util.evaluation.scores import Figure
from util.evaluation.validation import Validation
from util.runs.progress import Progress


@pytest.mark.parametrize(("value", "mean"), [(0.4, 0.3), (math.nan, None), (math.inf, None)])
def test_a_figure_that_is_not_finite_leaves_no_mean(value: float, mean: float | None) -> None:
    loader: Any = argparse.Namespace(fingerprint={})
    model: Any = None
    validation = Validation(argparse.Namespace(), model, loader, [MAE, PSNR], Rule(MAE))
    run: Any = argparse.Namespace(progress=Progress())
    validation.run = run
    figures = {"fake_A": [Figure(MAE, 0.2, 3), Figure(PSNR, 9.0, 3)], "fake_B": [Figure(MAE, value, 3)]}
    record = validation._record(figures, [])
    assert record["fake_A mean absolute error"] == 0.2 and record["fake_A PSNR (dB)"] == 9.0
    assert ("fake_B mean absolute error" in record) == (mean is not None)
    assert record.get("mean absolute error") == (None if mean is None else pytest.approx(mean))


def test_a_translation_that_is_not_finite_leaves_no_mean_and_is_reported() -> None:
    """With --precision fp16 a translation may overflow: training continues, and this checkpoint is not the best."""
    loader: Any = argparse.Namespace(fingerprint={})
    model: Any = None
    validation = Validation(argparse.Namespace(), model, loader, [MAE], Rule(MAE))
    printed: list[str] = []
    run: Any = argparse.Namespace(progress=Progress(), print_message=printed.append)
    validation.run = run
    record = validation._record({"fake_A": [Figure(MAE, 0.2, 3)]}, ["a.png: fake_A has values that are not finite"])
    assert "mean absolute error" not in record and record["fake_A mean absolute error"] == 0.2
    assert printed == ["warning: validation: 1 translations not scored; a.png: fake_A has values that are not finite"]
