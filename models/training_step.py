"""One training step: phases, micro-batches, backward passes, the guard against non-finite numbers, optimizer steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.finite_watch import FiniteWatch
from models.running_mean import RunningMean
from models.step_data import StepData
from util.errors import UserError
from util.runtime.precision import Precision
from util.runtime.processes import Processes


@dataclass
class Phase:
    """One optimizer step of a training step.

    The objective is the sum of the loss terms of all paths. A path is a function that runs the forward pass and
    returns weighted loss terms by name. Each path is followed by its backward pass, so that only one path's graph is
    in memory at a time; with --accumulate, only that of one micro-batch.
    """

    name: str
    networks: Sequence[nn.Module]  # trained in this phase; all other networks are frozen
    optimizer: Optimizer
    paths: Sequence[Callable[[], Mapping[str, Tensor]]]


class TrainingStep:
    """Runs the phases of a model on the data of a step."""

    def __init__(
        self,
        phases: Sequence[Phase],
        networks: Mapping[str, nn.Module],
        *,
        precision: Precision,
        world: Processes,
        watch: FiniteWatch,
        accumulate: int = 1,
    ) -> None:
        """Train `networks`, by name; raises UserError if a phase trains a network that is not among them."""
        self.phases, self.networks = phases, networks
        self.precision, self.world, self.watch, self.accumulate = precision, world, watch, accumulate
        self.epoch_loss = RunningMean()  # of `measured_phase`, for --lr_policy plateau
        self.counts: list[int] = [0]  # images of this step in each process
        require_registered(phases, networks)

    @property
    def measured_phase(self) -> Phase:
        """The phase whose loss --lr_policy plateau looks at: the generators', or the first one."""
        return next((phase for phase in self.phases if phase.name == "G"), self.phases[0])

    def run(self, data: StepData, working_on: Callable[[StepData], AbstractContextManager[None]]) -> None:
        """Take one step on `data`; its outputs and losses are then those of the whole batch.

        `working_on(part)` is a context in which the paths read and write the tensors of a micro-batch.
        """
        data.outputs, data.losses = {}, {}
        self.watch.begin_step()
        self.counts = self.world.counts(data.images)
        parts = data.split(min(self.accumulate, max(1, min(self.counts))))
        # Only fp16 continues after a skipped step, whose forward passes may have spoiled the statistics of norms.
        before = [(buffer, buffer.clone()) for buffer in self._buffers()] if self.precision.may_skip else []
        skips = [self._run_phase(phase, data, parts, working_on) for phase in self.phases]
        for buffer, value in before:  # after the last backward pass, as graphs refer to the buffers
            buffer.copy_(torch.where(torch.stack(skips).max() > 0, value, buffer))
        data.join(parts)
        self.precision.end_step()

    def _run_phase(
        self,
        phase: Phase,
        data: StepData,
        parts: Sequence[StepData],
        working_on: Callable[[StepData], AbstractContextManager[None]],
    ) -> Tensor:
        """Add up the gradients of all micro-batches, then step; returns 1.0 if the step was skipped, else 0.0."""
        for network in self.networks.values():
            network.requires_grad_(any(network is trained for trained in phase.networks))
        phase.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        for part in parts:
            with working_on(part):
                for name, loss in self._backward(phase, part.share).items():
                    losses[name] = losses[name] + loss if name in losses else loss
            if len(parts) > 1:
                part.detach()
        self._all_reduce(phase, losses)
        data.losses |= losses
        skip = self._step_optimizer(phase, losses)
        if phase is self.measured_phase:
            self.epoch_loss.add(torch.stack([*losses.values()]).sum(), skip == 0)
        return skip

    def _backward(self, phase: Phase, share: float) -> dict[str, Tensor]:
        """Run every path of a phase forward and backward; returns the loss terms, weighted by `share`."""
        losses: dict[str, Tensor] = {}
        for path in phase.paths:
            with self.precision.autocast():
                terms = path()
            self.precision.backward(torch.stack([*terms.values()]).sum() * share)
            losses |= {name: term.detach() * share for name, term in terms.items()}
        return losses

    def _all_reduce(self, phase: Phase, losses: Mapping[str, Tensor]) -> None:
        """Average gradients and losses over the processes, weighted by their numbers of images."""
        gradients = [p.grad for network in phase.networks for p in network.parameters() if p.grad is not None]
        own, total = self.counts[self.world.rank], sum(self.counts)
        self.world.average([*gradients, *losses.values()], own, total)

    def _step_optimizer(self, phase: Phase, losses: Mapping[str, Tensor]) -> Tensor:
        """Step unless a loss or a gradient is not finite; returns 1.0 if skipped, else 0.0, on the device."""
        optimizer = phase.optimizer
        parameters = (parameter for network in phase.networks for parameter in network.parameters())
        self.precision.unscale(optimizer)
        skip = self.watch.check(phase.name, losses, (parameter.grad for parameter in parameters))
        # A fused optimizer leaves its weights alone where this flag, on the device, is 1: no wait for the device.
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            optimizer.found_inf = skip  # type: ignore[attr-defined]
            optimizer.step()
        elif not skip.item():
            optimizer.step()
        return skip

    def _buffers(self) -> list[Tensor]:
        return [buffer for network in self.networks.values() for buffer in network.buffers()]


def require_registered(phases: Sequence[Phase], networks: Mapping[str, nn.Module]) -> None:
    """Raise UserError if a phase trains a network, or a parameter, that checkpoints would not contain."""
    known = {id(parameter) for network in networks.values() for parameter in network.parameters()}
    for phase in phases:
        trained = [(type(network).__name__, [*network.parameters()]) for network in phase.networks]
        trained += [("a parameter of its optimizer", group["params"]) for group in phase.optimizer.param_groups]
        for what, parameters in trained:
            if any(id(parameter) not in known for parameter in parameters):
                raise UserError(
                    f"phase {phase.name} of the model trains {what}, which is not registered and would never be "
                    "saved: register its network with add_network"
                )
