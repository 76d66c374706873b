"""Options of --dataset_mode single, which needs none of its own."""

from __future__ import annotations

from data.dataset_options import DatasetOptions


class SingleOptions(DatasetOptions):
    """The single dataset works with every option of other datasets."""
