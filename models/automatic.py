"""Values of options that are `auto`. They depend on other options and the type of device, not on load or memory."""

from __future__ import annotations

import argparse
from typing import Any


def automatic_values(opt: argparse.Namespace, model_options: Any) -> dict[str, str]:
    """The values of the training options that are `auto`, by name. Imports torch only if there are any."""
    if not (opt.is_train and "auto" in (getattr(opt, "joint_passes", ""), getattr(opt, "cuda_graph", ""))):
        return {}
    from util.runtime import device, graphs

    kind = device.get_device(opt.device).type
    values = model_options.automatic_values(opt, kind) | {"cuda_graph": graphs.automatic_value(kind)}
    return {name: value for name, value in values.items() if getattr(opt, name, "") == "auto"}
