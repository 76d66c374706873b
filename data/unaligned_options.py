"""Options of --dataset_mode unaligned."""

from __future__ import annotations

from data.dataset_options import DatasetOptions


class UnalignedOptions(DatasetOptions):
    """Options of unaligned."""
