"""The options for metrics, which train.py, test.py and scripts/evaluate.py share."""

from __future__ import annotations

from util.arguments import Scope, ScopedParser
from util.evaluation.metrics import METRICS


def add_metric_options(parser: ScopedParser, scope: Scope) -> None:
    """Add the options for the metrics and the feature extractor."""
    group = parser.add_argument_group("metrics")
    group.add_argument(
        "--metrics",
        type=metric_names,
        metavar="NAMES",
        scope=scope,
        help=f"metrics, separated by commas: {', '.join(METRICS)}, or your own as package.module:name (default: all "
        "that the images and the extractor allow, except fid and lpips)",
    )
    group.add_argument(
        "--extractor",
        choices=("auto", "inception", "lite0", "none"),
        default="auto",
        scope=scope,
        help="network whose features are compared; auto: Inception-v3 if its weights are on this machine, otherwise "
        "Lite0 if it is installed",
    )
    group.add_argument(
        "--inception_weights", metavar="FILE", scope=scope, help="weights of Inception-v3; nothing is downloaded"
    )
    group.add_argument(
        "--feature_resize",
        choices=("clean", "legacy"),
        default="clean",
        scope=scope,
        help="resize filter for Inception-v3; papers before 2022 mostly used legacy",
    )


def metric_names(text: str) -> str:
    """The type of --metrics: names separated by commas. Raises ArgumentTypeError for an unknown name."""
    return ",".join(METRICS.checked(name.strip()) for name in text.split(",") if name.strip())
