"""From samples to a batch."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from data.base_dataset import Sample


def collate(samples: list[Sample]) -> dict[str, Any]:
    """Stack the images and list everything else; ground truths, which some samples lack, are listed too.

    Unreadable samples contribute only their reports, and are counted under "missing".
    """
    batch: dict[str, Any] = {
        "unreadable": [report for sample in samples for report in sample.pop("unreadable")],
        "transparent": any([sample.pop("transparent") for sample in samples]),
        "note": max(sample.pop("note") for sample in samples),
        "missing": sum(not sample for sample in samples),
    }
    return batch | _stack([sample for sample in samples if sample])


def _stack(samples: list[Sample]) -> dict[str, Any]:
    """Stacked images. If sizes differ: "unequal", the sizes as text, and "parts", a batch for each run of one size."""
    batch: dict[str, Any] = {}
    for key in samples[0] if samples else ():
        values = [sample[key] for sample in samples]
        if not isinstance(values[0], Tensor) or key.endswith("_truth"):
            batch[key] = values
        elif len({value.shape for value in values}) == 1:
            # In a worker, default_collate stacks directly into memory shared with the main process.
            batch[key] = default_collate(values) if len(values) > 1 else values[0].unsqueeze(0)
        else:
            unequal = ", ".join(f"{value.shape[-1]}x{value.shape[-2]}" for value in values)
            return {"unequal": unequal, "parts": [_stack(list(run)) for _, run in groupby(samples, _shapes)]}
    return batch


def _shapes(sample: Sample) -> list[torch.Size]:
    return [value.shape for key, value in sample.items() if isinstance(value, Tensor) and not key.endswith("_truth")]
