"""The tensors and losses of one training step, or of one micro-batch of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Role = Literal["inputs", "outputs"]


@dataclass
class StepData:
    """The inputs, outputs and losses of a step, by name.

    A model's `set_input` assigns the inputs, its paths assign the outputs. `model.real_A` and `model.fake_B` read
    from this object, see `StepAttributes`. A tensor whose first dimension is the number of images is per image: it is
    split into micro-batches. Other tensors are not split.
    """

    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    images: int = 0  # number of images
    counts: list[int] = field(default_factory=list)  # number of images of this step or micro-batch on each rank
    fraction: float = 1.0  # of the images of the whole batch, 0 to 1

    def split(self, count: int) -> list[StepData]:
        """Split into `count` micro-batches of nearly equal size, with inputs only; returns [self] if `count` is 1."""
        if count == 1:
            return [self]
        sizes = _sizes(self.images, count)
        on_ranks = [_sizes(images, count) for images in self.counts]  # all ranks split in the same way
        micro_batches = [
            StepData(images=size, fraction=size / self.images, counts=[sizes[i] for sizes in on_ranks])
            for i, size in enumerate(sizes)
        ]
        for name, value in self.inputs.items():
            chunks = value.split(sizes) if self._is_per_image(value) else [value] * count
            for micro_batch, chunk in zip(micro_batches, chunks, strict=True):
                micro_batch.inputs[name] = chunk
        return micro_batches

    def shape_number(self) -> int:
        """A 32-bit checksum of the names and shapes of the inputs, without the batch dimension."""
        shapes = [(name, *value.shape[1:]) for name, value in sorted(self.inputs.items())]
        return zlib.crc32(repr(shapes).encode())

    def join(self, micro_batches: Sequence[StepData]) -> None:
        """Concatenate the outputs of all micro-batches, in order; of outputs that are not per image, keep the last."""
        if len(micro_batches) == 1:
            return
        for name in micro_batches[-1].outputs:
            sources = [micro_batch for micro_batch in micro_batches if name in micro_batch.outputs]
            values = [micro_batch.outputs[name] for micro_batch in sources]
            is_per_image = all(map(StepData._is_per_image, sources, values))
            same_shape = len({value.shape[1:] for value in values}) == 1
            is_complete = len(values) == len(micro_batches)
            self.outputs[name] = torch.cat(values) if is_per_image and same_shape and is_complete else values[-1]

    def detach(self) -> None:
        """Detach the outputs from their graph, which frees its memory."""
        self.outputs = {name: value.detach() for name, value in self.outputs.items()}

    def _is_per_image(self, value: Tensor) -> bool:
        return value.dim() > 0 and len(value) == self.images


def _sizes(images: int, count: int) -> list[int]:
    """The sizes of `count` nearly equal parts."""
    return [len(chunk) for chunk in torch.arange(images).tensor_split(count)]


class StepAttributes:
    """Attributes of a model that belong to a step: `self.real_A` is also `self.step_data.inputs["real_A"]`.

    A tensor that is assigned to an attribute inside `recording("inputs")` or `recording("outputs")` is recorded in
    `step_data` under that name. A tensor that was assigned elsewhere first, as in `__init__`, is the model's own: no
    step splits or joins it.
    """

    step_data: StepData
    _role: Role | None = None

    def __init__(self) -> None:
        self._step_names: set[str] = set()  # of attributes that were recorded
        self.step_data = StepData()

    @contextmanager
    def recording(self, role: Role, data: StepData | None = None) -> Iterator[None]:
        """A context in which assigned tensors are recorded as inputs or outputs.

        With `data`, such as a micro-batch, they are recorded there, and the attributes have its tensors.
        """
        before = self._role, self.step_data
        self._role = role
        if data is not None and data is not self.step_data:
            self.step_data = data
            self.show_step()
        try:
            yield
        finally:
            self._role, self.step_data = before

    def show_step(self) -> None:
        """Set the attributes to the tensors of `step_data`."""
        vars(self).update(self.step_data.inputs | self.step_data.outputs)

    def hide_step(self) -> dict[str, Tensor]:
        """Remove and return all attributes that belong to steps; `vars(self).update` restores them."""
        return {name: vars(self).pop(name) for name in self._step_names & vars(self).keys()}

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, Tensor) and "step_data" in vars(self):
            self._record(name, value)
        super().__setattr__(name, value)

    def _record(self, name: str, value: Tensor) -> None:
        data = self.step_data
        if self._role is None:  # such as a changed input, between set_input and the step
            for values in (data.inputs, data.outputs):
                if name in values:
                    values[name] = value
            return
        if name not in self._step_names and isinstance(vars(self).get(name), Tensor):
            return  # the model's own
        self._step_names.add(name)
        values, others = (data.inputs, data.outputs) if self._role == "inputs" else (data.outputs, data.inputs)
        others.pop(name, None)
        values[name] = value
