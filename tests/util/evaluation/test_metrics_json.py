"""metrics.json is valid JSON, whatever the metrics are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from options import TestOptions
from tests.conftest import Options
from util.evaluation.evaluator import Evaluation
from util.evaluation.metric import Metric, Needs
from util.evaluation.results import Results
from util.evaluation.scores import Scores


class Dataset:
    print_message: Callable[[str], None]

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_not_finite_is_null(value: float, options: Options, tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "run").mkdir(parents=True)
    folder = f"{options().dataroot}/testA"
    places = ["--checkpoints_dir", str(tmp_path / "checkpoints"), "--results_dir", str(tmp_path / "results")]
    test_options = TestOptions()
    opt = test_options.parse(["--dataroot", folder, "--name", "run", "--model", "test", *places])
    results = Results(opt, Dataset(), test_options.identity(opt))
    psnr = Metric("psnr", "psnr", "PSNR", Needs.PAIR, lambda image, truth: value, (0, math.inf), higher_is_better=True)
    scores, image = Scores([psnr]), torch.zeros(3, 8, 8)
    scores.add("fake", f"{folder}/00.png", image, truth=image)
    results.add(f"{folder}/00.png", {"fake": image})
    results.gather()
    results.finish(Evaluation(scores, 1, interrupted=False))
    (file,) = (tmp_path / "results").rglob("metrics.json")
    record = json.loads(file.read_text(), parse_constant=pytest.fail)
    assert record["scores"] == {"fake": {"images": 1, "psnr": None}}
    assert record["counts"] == {"fake": {"psnr": 1}} and record["images"] == {"fake": {"00.png": {"psnr": None}}}
