"""Which pass a dataset, a loader or a model is in."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Training, a validation pass during training, or testing."""

    TRAIN = "train"
    VALIDATE = "validate"
    TEST = "test"
