"""Deprecated names of a model's attributes, for models written for an earlier version."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor

from models.step_data import StepData
from models.training_step import TrainingStep
from util.stage import Stage


class DeprecatedNames:
    """The old names. Each warns with its new name."""

    stage: Stage
    step_data: StepData
    training_step: TrainingStep

    @property
    def is_train(self) -> bool:
        _warn("is_train", "stage")
        return self.stage is Stage.TRAIN

    @is_train.setter
    def is_train(self, value: bool) -> None:
        _warn("is_train", "stage")
        self.stage = Stage.TRAIN if value else Stage.TEST

    @property
    def counts(self) -> list[int]:
        _warn("counts", "training_step.counts")
        return self.training_step.counts

    @property
    def losses(self) -> dict[str, Tensor]:
        _warn("losses", "step_data.losses")
        return self.step_data.losses

    @losses.setter
    def losses(self, value: dict[str, Tensor]) -> None:
        _warn("losses", "step_data.losses")
        self.step_data.losses = value

    def place(self, network: Any) -> Any:
        return self._renamed("place", "prepare_network")(network)

    def query(self, pool: Any, images: Tensor) -> Any:
        return self._renamed("query", "query_pool")(pool, images)

    def _renamed(self, old: str, new: str) -> Any:
        _warn(old, new, stacklevel=4)
        return getattr(self, new)


def _warn(old: str, new: str, stacklevel: int = 3) -> None:
    warnings.warn(f"a model's {old} is now {new}", FutureWarning, stacklevel=stacklevel)
