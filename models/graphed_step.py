"""A training step that is replayed from CUDA graphs (--cuda_graph): a few launches instead of thousands.

Each phase has two graphs: one for its forward and backward passes, one for the guard and the optimizer. Between the
two, gradients are averaged if there are several processes. Image pools are queried before a phase, because they choose
images on the host. A graph reads and writes fixed memory, so a step first copies its inputs there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from models.image_pool import ImagePool
from models.step_data import StepData
from models.training_step import Phase, TrainingStep
from util.errors import UserError, is_main_by_environment, is_out_of_memory
from util.runtime.graphs import Graph, Graphs

WARM_UP = 3  # steps before the capture, in which libraries choose algorithms and optimizers create their states
MAX_KEYS = 4  # at most so many different steps have graphs, because each needs memory of its own

UseData = Callable[[StepData], AbstractContextManager[None]]


class NotCapturable(Exception):
    """A part of the step depends on decisions of the host."""


@dataclass
class CapturedStep:
    """The graphs of steps of one shape, and the memory that they read."""

    inputs: dict[str, Tensor]
    pool_images: dict[int, Tensor] = field(default_factory=dict)  # by the id of the pool
    passes: dict[str, Graph] = field(default_factory=dict)  # by phase; their results: losses and outputs
    gradients: dict[str, list[Tensor | None]] = field(default_factory=dict)  # by phase
    updates: dict[str, Graph] = field(default_factory=dict)  # by phase; their result: whether the update was skipped

    def load(self, data: StepData) -> StepData:
        """The data of a step, with its inputs in the memory of the graphs."""
        for name, value in data.inputs.items():
            self.inputs[name].copy_(value)
        return replace(data, inputs=dict(self.inputs), outputs={}, losses={})


class GraphedStep(TrainingStep):
    """A training step with graphs. A step with a new key (shapes and `state`) first runs without graphs a few times."""

    def __init__(
        self,
        *args: Any,
        graphs: Graphs,
        query: Callable[[ImagePool, Tensor], Tensor],
        state: Callable[[], Hashable],
        **settings: Any,
    ) -> None:
        """`query`: queries an image pool. `state`: returns the host's decisions that a step's operations depend on."""
        super().__init__(*args, **settings)
        self.graphs, self.query, self.state = graphs, query, state
        self.steps: dict[Hashable, int | CapturedStep] = {}  # by key: the number of warm-up steps, or the graphs
        self.current: CapturedStep | None = None  # of the step that is being replayed
        self.replayed: set[str] = set()  # the phases of this step that were replayed
        self.queried: dict[int, Tensor] = {}  # what the pools of this step returned, by the id of the pool
        self.is_capturing = False
        self.is_given_up = False

    def run(self, data: StepData, use_data: UseData) -> None:
        self.current = None if self.is_given_up else self._find(data)
        self.replayed, self.queried = set(), {}
        if self.current is None:
            with self.graphs.warm_up():
                super().run(data, use_data)
            return
        static = self.current.load(data)
        super().run(static, use_data)
        data.outputs = {name: value.detach() for name, value in static.outputs.items()}
        data.losses = static.losses

    def _find(self, data: StepData) -> CapturedStep | None:
        """The graphs for this step, with none captured yet if its key is new; None if it has to run without graphs."""
        key = (tuple((name, x.shape, x.dtype) for name, x in sorted(data.inputs.items())), data.images, self.state())
        found = self.steps.get(key, 0)
        if isinstance(found, CapturedStep):
            return found
        self.steps[key] = found + 1
        kept = sum(isinstance(step, CapturedStep) for step in self.steps.values())
        if found < WARM_UP or kept == MAX_KEYS:
            return None
        created = self.steps[key] = CapturedStep({name: value.clone() for name, value in data.inputs.items()})
        return created

    def queried_images(self, pool: ImagePool) -> Tensor | None:
        """The images that were queried before the phase. Raises NotCapturable if a captured path queries the pool."""
        queried = self.queried.get(id(pool))
        if queried is None and self.is_capturing and pool.size > 0:
            raise NotCapturable("an image pool chooses images on the host")
        return queried

    def _accumulate(self, phase: Phase, micro_batches: Sequence[StepData], use_data: UseData) -> dict[str, Tensor]:
        if self.current is None:
            return super()._accumulate(phase, micro_batches, use_data)
        captured, (static,) = self.current, micro_batches
        with use_data(static):
            fits = self._query_pools(phase, captured)

        def passes() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            losses = super(GraphedStep, self)._accumulate(phase, micro_batches, use_data)
            return losses, {name: value.detach() for name, value in static.outputs.items()}

        graph = (captured.passes.get(phase.name) or self._try(passes)) if fits else None
        if graph is None:
            with self.graphs.warm_up():
                return super()._accumulate(phase, micro_batches, use_data)
        self.replayed.add(phase.name)
        if phase.name not in captured.passes:
            captured.passes[phase.name] = graph
            captured.gradients[phase.name] = [parameter.grad for parameter in self._parameters[phase.name]]
        else:  # while a graph is new, later phases may need the autograd graph of its outputs
            static.outputs |= graph.result[1]
        graph.replay()
        for parameter, gradient in zip(self._parameters[phase.name], captured.gradients[phase.name], strict=True):
            parameter.grad = gradient
        return dict(graph.result[0])

    def _query_pools(self, phase: Phase, captured: CapturedStep) -> bool:
        """Query the pools of a phase; returns whether the images have the sizes of the graphs of this step.

        A pool may return an image of an earlier step with another size.
        """
        fits = True
        for pool, images in phase.queries:
            self.queried.pop(id(pool), None)  # of an earlier phase
            new = images()
            found = self.query(pool, new)
            if found.shape == new.shape:
                memory = captured.pool_images.get(id(pool))
                found = captured.pool_images[id(pool)] = found.clone() if memory is None else memory.copy_(found)
            else:
                fits = False
            self.queried[id(pool)] = found
        return fits

    def _step_optimizer(self, phase: Phase, losses: Mapping[str, Tensor]) -> Tensor:
        if self.current is None or phase.name not in self.replayed:
            return super()._step_optimizer(phase, losses)
        graph = self.current.updates.get(phase.name)
        graph = graph or self._try(lambda: super(GraphedStep, self)._step_optimizer(phase, losses))
        if graph is None:
            return super()._step_optimizer(phase, losses)
        self.current.updates[phase.name] = graph
        graph.replay()
        skip: Tensor = graph.result
        return skip

    def _try(self, function: Callable[[], Any]) -> Graph | None:
        """Capture a function. If it decides on the host, or needs too much memory, the rest of the run has no graphs.

        Raises UserError for any other error: after it, torch's memory allocator may still wait for the capture's end.
        """
        if self.is_given_up:
            return None
        self.is_capturing = True
        try:
            return self.graphs.capture(function)
        except (NotCapturable, RuntimeError) as error:
            # The end of a capture that failed raises an error of its own.
            cause = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
            if not isinstance(cause, NotCapturable) and not is_out_of_memory(cause):
                raise UserError(f"--cuda_graph: a step can't be captured ({reason}): use --cuda_graph off") from error
            self.is_given_up = True
            self.steps.clear()
            if is_main_by_environment():
                print(f"note: --cuda_graph: steps run without graphs ({reason})", file=sys.stderr)
            return None
        finally:
            self.is_capturing = False
