"""One training step: phases, micro-batches, backward passes, the non-finite guard and optimizer steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.image_pool import ImagePool
from models.non_finite_guard import NonFiniteGuard
from models.running_mean import RunningMean
from models.step_data import StepData
from util.errors import UserError
from util.runtime.device import honors_skip_flag
from util.runtime.precision import Precision
from util.runtime.processes import Processes, Reduction


@dataclass
class Phase:
    """One optimizer step within a training step.

    The objective is the sum of the loss terms of all paths. A path is a function that runs a forward pass and returns
    weighted loss terms by name. The backward pass of a path runs directly after it, so that the graph of only one path
    is in memory at a time; with --accumulate, that of one path for one micro-batch.
    """

    name: str
    networks: Sequence[nn.Module]  # trained in this phase; all other networks are frozen
    optimizer: Optimizer
    paths: Sequence[Callable[[], Mapping[str, Tensor]]]
    independent: bool = False
    """Whether its paths use no network of the previous phase. They then run before the update of that phase, while its
    gradients are averaged over all ranks."""
    queries: Sequence[tuple[ImagePool, Callable[[], Tensor]]] = ()
    """The image pools that its paths query, each with a function that returns the new images. With --cuda_graph, the
    pools are queried before the phase."""


@dataclass
class Update:
    """The pending update of a phase after its backward passes: a running all-reduce, and the optimizer step."""

    phase: Phase
    losses: dict[str, Tensor]
    reduction: Reduction


class TrainingStep:
    """Runs the phases of a model on the batch of a step."""

    def __init__(
        self,
        phases: Sequence[Phase],
        networks: Mapping[str, nn.Module],
        *,
        precision: Precision,
        world: Processes,
        guard: NonFiniteGuard,
        accumulate: int = 1,
    ) -> None:
        """`networks`: the registered networks. Raises UserError if a phase trains a network that is not registered."""
        self.phases, self.networks = phases, networks
        self.precision, self.world, self.guard, self.accumulate = precision, world, guard, accumulate
        self.epoch_loss = RunningMean()  # loss of `measured_phase`, for --lr_policy plateau
        self.counts: list[int] = [0]  # number of images of this step on each rank
        self.same_shapes = True  # whether the inputs of this step have the same shapes on all ranks
        require_registered(phases, networks)
        self._parameters = {phase.name: _parameters(phase.networks) for phase in phases}
        self._all_parameters = _parameters([*networks.values()])

    @property
    def measured_phase(self) -> Phase:
        """The phase whose loss --lr_policy plateau monitors: phase G, or the first one if no phase is named G."""
        return next((phase for phase in self.phases if phase.name == "G"), self.phases[0])

    def run(self, data: StepData, use_data: Callable[[StepData], AbstractContextManager[None]]) -> None:
        """Take one training step on `data`, and set its outputs and losses, which are those of the whole batch.

        `use_data(micro_batch)` is a context in which the paths read and write the tensors of the micro-batch.
        """
        data.outputs, data.losses = {}, {}
        self.guard.begin_step()
        self.counts, self.same_shapes = self.world.exchange_step(data.images, data.shape_number())
        data.counts = self.counts
        micro_batches = data.split(min(self.accumulate, max(1, min(self.counts))))
        # fp16 continues after a skipped step: restore the running statistics, which may have become non-finite.
        saved = [(buffer, buffer.clone()) for buffer in self._buffers()] if self.precision.may_skip else []
        skips = self._run_phases(data, micro_batches, use_data)
        for buffer, value in saved:  # only after the last backward pass, because graphs refer to the buffers
            buffer.copy_(torch.where(torch.stack(skips).max() > 0, value, buffer))
        data.join(micro_batches)
        self.precision.end_step()

    def _run_phases(
        self,
        data: StepData,
        micro_batches: Sequence[StepData],
        use_data: Callable[[StepData], AbstractContextManager[None]],
    ) -> list[Tensor]:
        """Run all phases; returns 1.0 for each phase whose update was skipped, else 0.0."""
        skips: list[Tensor] = []
        waiting: Update | None = None
        for phase in self.phases:
            if waiting and not phase.independent:
                skips.append(self._finish(waiting, data))
                waiting = None
            try:
                losses = self._accumulate(phase, micro_batches, use_data)
            except Exception:
                if waiting:
                    waiting.reduction.abandon()
                raise
            update = Update(phase, losses, self._start_all_reduce(phase, losses))
            if waiting:  # while the gradients of this phase are averaged
                skips.append(self._finish(waiting, data))
            waiting = update
        return [*skips, self._finish(waiting, data)] if waiting else skips

    def _accumulate(
        self,
        phase: Phase,
        micro_batches: Sequence[StepData],
        use_data: Callable[[StepData], AbstractContextManager[None]],
    ) -> dict[str, Tensor]:
        """Compute the losses of a phase, and accumulate the gradients of all micro-batches."""
        self._freeze_others(phase)
        phase.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        for micro_batch in micro_batches:
            with use_data(micro_batch):
                for name, loss in self._backward(phase, micro_batch.fraction).items():
                    losses[name] = losses[name] + loss if name in losses else loss
            if len(micro_batches) > 1:
                micro_batch.detach()
        return losses

    def _finish(self, update: Update, data: StepData) -> Tensor:
        """Take the optimizer step; returns 1.0 if it was skipped, else 0.0."""
        update.reduction.finish()
        data.losses |= update.losses
        skip = self._step_optimizer(update.phase, update.losses)
        if update.phase is self.measured_phase:
            self.epoch_loss.add(torch.stack([*update.losses.values()]).sum(), skip == 0)
        return skip

    def queried_images(self, pool: ImagePool) -> Tensor | None:
        """The images that were queried before the phase; None if its paths query the pool themselves."""
        return None

    def _freeze_others(self, phase: Phase) -> None:
        """Let gradients be computed for the parameters that this phase trains, and for no others."""
        for parameter in self._all_parameters:
            parameter.requires_grad_(False)
        for parameter in self._parameters[phase.name]:
            parameter.requires_grad_(True)

    def _backward(self, phase: Phase, fraction: float) -> dict[str, Tensor]:
        """Run the forward and backward pass of each path of a phase; returns its loss terms, times `fraction`."""
        losses: dict[str, Tensor] = {}
        for path in phase.paths:
            with self.precision.autocast():
                terms = path()
            self.precision.backward(torch.stack([*terms.values()]).sum() * fraction)
            losses |= {name: term.detach() * fraction for name, term in terms.items()}
        return losses

    def _start_all_reduce(self, phase: Phase, losses: Mapping[str, Tensor]) -> Reduction:
        """Start to average gradients and losses over all ranks, weighted by their numbers of images."""
        gradients = [parameter.grad for parameter in self._parameters[phase.name] if parameter.grad is not None]
        own, total = self.counts[self.world.rank], sum(self.counts)
        return self.world.start_all_reduce_mean([*gradients, *losses.values()], own, total)

    def _step_optimizer(self, phase: Phase, losses: Mapping[str, Tensor]) -> Tensor:
        """Step unless a loss or gradient is non-finite; returns 1.0 if skipped, else 0.0, on the device."""
        optimizer = phase.optimizer
        self.precision.unscale(optimizer)
        skip = self.guard.check(phase.name, losses, (parameter.grad for parameter in self._parameters[phase.name]))
        # A fused optimizer reads this flag on the device, and does not step if it is 1: no synchronization.
        if getattr(optimizer, "_step_supports_amp_scaling", False) and honors_skip_flag(skip.device):
            optimizer.found_inf = skip  # type: ignore[attr-defined]
            optimizer.step()
        elif not skip.item():
            optimizer.step()
        return skip

    def _buffers(self) -> list[Tensor]:
        return [buffer for network in self.networks.values() for buffer in network.buffers()]


def _parameters(networks: Sequence[nn.Module]) -> list[nn.Parameter]:
    return [parameter for network in networks for parameter in network.parameters()]


def require_registered(phases: Sequence[Phase], networks: Mapping[str, nn.Module]) -> None:
    """Raise UserError if a phase trains a network or a parameter that checkpoints would not contain."""
    registered = {id(parameter) for network in networks.values() for parameter in network.parameters()}
    for phase in phases:
        trained = [(type(network).__name__, [*network.parameters()]) for network in phase.networks]
        trained += [("a parameter of its optimizer", group["params"]) for group in phase.optimizer.param_groups]
        for name, parameters in trained:
            if any(id(parameter) not in registered for parameter in parameters):
                raise UserError(
                    f"phase {phase.name} of the model trains {name}, which is not registered and would never be "
                    "saved: register its network with add_network"
                )
