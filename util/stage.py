"""What a pass over the data is for: datasets, transforms, loaders and models receive it as an argument."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Training, validation during a training run, or testing."""

    TRAIN = "train"
    VALIDATE = "validate"
    TEST = "test"
