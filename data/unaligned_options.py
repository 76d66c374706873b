"""Options of --dataset_mode unaligned, which needs none of its own."""

from __future__ import annotations

from data.dataset_options import DatasetOptions


class UnalignedOptions(DatasetOptions):
    """The unaligned dataset works with every option of other datasets."""
