"""Options of --dataset_mode single."""

from __future__ import annotations

from data.dataset_options import DatasetOptions


class SingleOptions(DatasetOptions):
    """Options of single."""
