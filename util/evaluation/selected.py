"""The metrics that the options select, with their feature extractor."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from util.evaluation import extractors
from util.evaluation.metric import Metric
from util.evaluation.metrics import default_metrics, select_metrics


def metrics_of(opt: argparse.Namespace, device: torch.device, also: Sequence[str] = ()) -> list[Metric]:
    """The metrics of --metrics, or the default ones, and those named in `also`.

    Raises UserError for a metric that can't be computed on this machine.
    """
    weights = Path(opt.inception_weights) if opt.inception_weights else None
    extractor = extractors.create(extractors.resolve(opt.extractor, weights), opt.feature_resize, device)
    chosen = select_metrics(opt.metrics.split(","), extractor) if opt.metrics else default_metrics(extractor)
    keys = {metric.key for metric in chosen}
    return chosen + [metric for metric in select_metrics(also, extractor) if metric.key not in keys]
