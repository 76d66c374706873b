"""The metrics that the options select, with their feature extractor."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from util.evaluation import extractors
from util.evaluation.metric import Extractor, Metric
from util.evaluation.metrics import default_metrics, select_metrics


def metrics_of(opt: argparse.Namespace, extractor: Extractor | None) -> list[Metric]:
    """The metrics of --metrics, or the default ones.

    Raises UserError for a metric that can't be computed on this machine.
    """
    return select_metrics(opt.metrics.split(","), extractor) if opt.metrics else default_metrics(extractor)


def extractor_of(opt: argparse.Namespace, device: torch.device) -> Extractor | None:
    """The extractor of --extractor and --inception_weights. Raises UserError if it is not on this machine."""
    weights = Path(opt.inception_weights) if opt.inception_weights else None
    return extractors.create(extractors.resolve(opt.extractor, weights), opt.feature_resize, device)
