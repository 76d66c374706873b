"""The tensors and losses of one training step, or of one micro-batch of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

Role = Literal["inputs", "outputs"]


@dataclass
class StepData:
    """A batch on its way through a step: inputs, outputs and losses, each by name.

    A model's `set_input` makes the inputs, its paths the outputs. The model's attributes of these names
    (`model.real_A`, `model.fake_B`) are views of this object, see `StepAttributes`. Tensors whose first dimension is
    the number of images belong to these images and are split with them; others stay whole.
    """

    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    images: int = 0
    share: float = 1.0  # of the batch's images, 0 to 1

    def split(self, count: int) -> list[StepData]:
        """`count` micro-batches of nearly equal size, each with its images' inputs; the step itself if `count` is 1."""
        if count == 1:
            return [self]
        sizes = [len(chunk) for chunk in torch.arange(self.images).tensor_split(count)]
        parts = [StepData(images=size, share=size / self.images) for size in sizes]
        for name, value in self.inputs.items():
            chunks = value.split(sizes) if self._is_per_image(value) else [value] * count
            for part, chunk in zip(parts, chunks, strict=True):
                part.inputs[name] = chunk
        return parts

    def join(self, parts: Sequence[StepData]) -> None:
        """Take the outputs of all micro-batches, in order: again one for each image of the batch."""
        if len(parts) == 1:
            return
        for name in parts[-1].outputs:
            values = [part.outputs[name] for part in parts if name in part.outputs]
            per_image = all(part._is_per_image(value) for part, value in zip(parts, values, strict=False))
            equal = len({value.shape[1:] for value in values}) == 1
            self.outputs[name] = torch.cat(values) if per_image and equal and len(values) == len(parts) else values[-1]

    def detach(self) -> None:
        """Keep the outputs' values without the graph that made them."""
        self.outputs = {name: value.detach() for name, value in self.outputs.items()}

    def _is_per_image(self, value: Tensor) -> bool:
        return value.dim() > 0 and len(value) == self.images


class StepAttributes:
    """Attributes that are views of a StepData: `self.real_A` is `self.step_data.inputs["real_A"]`.

    A tensor that is assigned to an attribute inside `recording("inputs")` or `recording("outputs")` goes into
    `step_data` under that name. Tensors that are assigned anywhere else, as in `__init__`, are ordinary attributes, and
    stay so: a step neither splits nor joins them.
    """

    step_data: StepData
    _role: Role | None = None

    @contextmanager
    def recording(self, role: Role, data: StepData | None = None) -> Iterator[None]:
        """A context in which assigned tensors are inputs or outputs, of `data` if given (as `step_data` in it)."""
        before = self._role, self.step_data
        self._role = role
        if data is not None:
            self.step_data = data
        try:
            yield
        finally:
            self._role, self.step_data = before

    def __setattr__(self, name: str, value: object) -> None:
        if self._role is None or not isinstance(value, Tensor) or isinstance(vars(self).get(name), Tensor):
            super().__setattr__(name, value)
            return
        vars(self).pop(name, None)  # such as a None of __init__
        data = self.step_data
        values, others = (data.inputs, data.outputs) if self._role == "inputs" else (data.outputs, data.inputs)
        others.pop(name, None)
        values[name] = value

    if not TYPE_CHECKING:  # type checkers know the attributes by their assignments

        def __getattr__(self, name: str) -> Tensor:
            data = vars(self).get("step_data")
            for values in (data.inputs, data.outputs) if data is not None else ():
                if name in values:
                    return values[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
