"""The options about metrics, which train.py and test.py share."""

from __future__ import annotations

from util.arguments import Scope, ScopedParser
from util.evaluation.metrics import METRICS


def add_metric_options(parser: ScopedParser, scope: Scope) -> None:
    """Which metrics are computed, and with which feature extractor."""
    group = parser.add_argument_group("metrics")
    group.add_argument(
        "--metrics",
        type=metric_names,
        metavar="NAMES",
        scope=scope,
        help=f"metrics, separated by commas: {', '.join(METRICS)}, or your package.module:name (default: those that "
        "the images and the extractor allow, without fid and lpips)",
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
        help="how images are resized for Inception-v3; published figures differ by this",
    )


def metric_names(text: str) -> str:
    """The type of --metrics: names separated by commas. Raises ArgumentTypeError for an unknown name."""
    return ",".join(METRICS.checked(name.strip()) for name in text.split(",") if name.strip())
