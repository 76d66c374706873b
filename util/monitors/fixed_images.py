"""Translations of the same images after every epoch, to compare epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from util import images

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

OMITTED = ("rec", "idt")  # visuals that would make a row too long


class ValidatedModel(Protocol):
    """What fixed images need of a model."""

    def validating(self) -> AbstractContextManager[None]: ...

    def set_input(self, batch: Mapping[str, Any], /) -> None: ...

    def test(self) -> None: ...

    def get_current_visuals(self) -> Mapping[str, Tensor]: ...


class FixedImages:
    """Translates the same batches of one sample whenever it is asked to, without a trace in the training.

    Networks are in eval mode, with the moving averages of their weights if they have them.
    """

    def __init__(self, model: ValidatedModel, batches: Sequence[Mapping[str, Any]]) -> None:
        self.model, self.batches = model, batches

    def translate(self) -> list[tuple[str, dict[str, np.ndarray]]]:
        """For each sample, the names of its files, and its images, uint8 (H, W, 3), by name."""
        shown = []
        with self.model.validating():
            for batch in self.batches:
                self.model.set_input(batch)
                self.model.test()
                visuals = self.model.get_current_visuals()
                arrays = {
                    name: images.to_array(visual[0]) for name, visual in visuals.items() if not name.startswith(OMITTED)
                }
                shown.append((_title(batch), arrays))
        return shown


def _title(batch: Mapping[str, Any]) -> str:
    names = [PurePath(paths[0]).name for key, paths in batch.items() if key.endswith("_paths")]
    return ", ".join(dict.fromkeys(names))
