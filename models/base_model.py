"""What every model is made of: networks, optimizers, and the phases of a training step."""

from __future__ import annotations

import argparse
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models import finite_watch, schedules
from models.model_options import ModelOptions
from models.objectives import losses
from util.errors import UserError
from util.runs import checkpoint, weights
from util.runtime import device
from util.runtime.precision import Precision
from util.runtime.processes import processes

MOST_SKIPS = 30  # steps in a row that fp16 may skip: more than it takes to halve the largest factor down to 1


@dataclass
class Phase:
    """One optimizer step of a training step.

    The objective is the sum of what the paths return: each a function that gives some weighted loss terms by
    name. Paths are taken one at a time, forward and backward, so that only one's graph is in memory; with --accumulate
    so are the parts of the batch.
    """

    name: str
    networks: Sequence[nn.Module]  # what learns in this phase; all else is held fixed
    optimizer: Optimizer
    paths: Sequence[Callable[[], Mapping[str, Tensor]]]


@dataclass
class Part:
    """Some of a batch's images: what the model has of them, and which share of the batch they are, 0..1."""

    tensors: dict[str, Tensor]  # by the name of the model's attribute
    share: float


@dataclass
class Translation:
    """A source image and what was made of it: images (C, H, W) in [-1, 1]."""

    path: str
    visuals: dict[str, Tensor]  # by name, in the order to show them
    truth: dict[str, Tensor]  # what a visual should be, by its name, where that is known


class BaseModel(ModelOptions, ABC):
    """A model: copy models/template_model.py to write one.

    A subclass makes its networks (attributes net<name>, listed in `network_names`), lists the images it shows
    in `visual_names` (attributes), and in training fills `phases`. Images are (N, C, H, W) in [-1, 1].
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.is_train: bool = opt.is_train
        self.device = device.get_device(opt.device)
        self.precision = Precision(opt.precision, self.device)
        self.processes = processes()
        if opt.is_train and "syncbatch" in (opt.norm, opt.norm_D):
            device.require_synchronous_norms(self.device, self.processes.count)
        self.counts: list[int] = [0]  # how many images of this step's batch each process has
        self._whole: dict[str, Tensor] = {}  # the batch, while its parts are in its place
        self._made: Set[str] = set()  # the names of tensors that a step made of it
        self.folder = Path(opt.checkpoints_dir) / opt.name
        self.network_names: list[str] = []
        self.averaged_names: list[str] = []  # of those, the ones of which --ema_decay keeps an average
        self.visual_names: list[str] = []
        self.phases: list[Phase] = []
        self.losses: dict[str, Tensor] = {}
        self.image_paths: list[str] = []

    # What a subclass brings.

    @abstractmethod
    def set_input(self, batch: Mapping[str, Any]) -> None:
        """Take a batch of the dataset: images by way of `to_device`, paths into `image_paths`."""

    @abstractmethod
    def forward(self) -> None:
        """Compute every visual from the input; for testing, so without regard to losses."""

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """What `test` made of the batch, for each source image."""
        visuals = self.get_current_visuals()
        return [
            Translation(path, {name: visual[i] for name, visual in visuals.items()}, {})
            for i, path in enumerate(self.image_paths)
        ]

    # Building and restoring.

    def place(self, network: nn.Module) -> nn.Module:
        """A network with freshly drawn weights (in training), on the device."""
        if self.is_train:
            from models.networks.layers import initialize

            initialize(network, self.opt.init_type, self.opt.init_gain)
            if self.opt.channels_last:
                network = network.to(memory_format=torch.channels_last)
            if self.opt.compile:
                device.compile_network(network, self.device)
        return network.to(self.device)

    def to_device(self, images: Tensor) -> Tensor:
        """Images of a batch where the networks are, channel by channel: a loader may give them pixel by pixel."""
        return images.to(self.device, non_blocking=True).contiguous()

    def adam(self, *networks: nn.Module) -> Optimizer:
        """Adam for these networks together, as --lr and --beta1 say; fused, so that a flag can hold it back."""
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return torch.optim.Adam(parameters, lr=self.opt.lr, betas=(self.opt.beta1, 0.999), fused=True)

    def setup(self, opt: argparse.Namespace) -> None:
        """Make schedules and averages (training), or load the weights that --epoch names (testing)."""
        if self.is_train:
            self.optimizers = {phase.name: phase.optimizer for phase in self.phases}
            self.schedules = {name: schedules.Schedule(o, opt) for name, o in self.optimizers.items()}
            self.watch = finite_watch.FiniteWatch(self.device, most_skips=MOST_SKIPS if self.precision.may_skip else 0)
            self.averages = self._create_averages(opt.ema_decay)
            self.epoch_loss = RunningMean()
        else:
            self.load_networks(opt.epoch)

    def networks(self) -> dict[str, nn.Module]:
        """The networks by name: G_A, D_A, ..."""
        return {name: getattr(self, f"net{name}") for name in self.network_names}

    def state_objects(self) -> dict[str, checkpoint.Stateful]:
        """Every object whose state must survive a restart, by name. A subclass adds its own."""
        objects: dict[str, Any] = {f"net_{name}": network for name, network in self.networks().items()}
        objects |= {f"average_{name}": average for name, average in self.averages.items()}
        objects |= {f"optimizer_{name}": optimizer for name, optimizer in self.optimizers.items()}
        # After the optimizers: a schedule sets their rates anew.
        objects |= {f"schedule_{name}": schedule for name, schedule in self.schedules.items()}
        return objects | {"epoch_loss": self.epoch_loss, "precision": self.precision, "watch": self.watch}

    def save_networks(self, epoch: str) -> None:
        """Write <epoch>_net_<name>.pth for every network."""
        weights.write_weights(self.weights(epoch))

    def weights(self, epoch: str) -> dict[Path, dict[str, Tensor]]:
        """The state dicts that `save_networks` writes, by file: of the average where one is kept."""
        kept = self.networks() | {name: average.module for name, average in self.averages.items()}
        return {weights.weights_path(self.folder, epoch, name): network.state_dict() for name, network in kept.items()}

    def load_networks(self, epoch: str) -> None:
        """Read <epoch>_net_<name>.pth for every network."""
        weights.load_weights(
            {weights.weights_path(self.folder, epoch, name): network for name, network in self.networks().items()}
        )

    def _create_averages(self, decay: float) -> dict[str, Any]:
        """Exponential moving averages of the networks that `averaged_names` lists; none if the decay is 0."""
        if decay == 0:
            return {}
        from torch.optim.swa_utils import AveragedModel

        def blend(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            # The first steps weigh less than the decay says, or the average would remember them for long.
            kept = min(decay, (1 + int(count)) / (10 + int(count)))
            return averaged + (1 - kept) * (current - averaged)

        networks = self.networks()
        return {name: AveragedModel(networks[name], avg_fn=blend, use_buffers=True) for name in self.averaged_names}

    # A training step.

    def optimize_parameters(self) -> None:
        """One training step on the batch of `set_input`: every phase in turn, then the averages."""
        self.losses = {}
        self.watch.begin_step()
        self.counts = self.processes.counts(len(self.image_paths))
        parts = self._split_batch()
        for phase in self.phases:
            self._run_phase(phase, parts)
        if len(parts) > 1:
            self._join_batch()
        self.processes.seed_step(self.opt.seed, self.watch.step)
        self.precision.end_step()
        for name, average in self.averages.items():
            average.update_parameters(getattr(self, f"net{name}"))

    def _batch_tensors(self) -> dict[str, Tensor]:
        """What the model has of the batch, by attribute: every tensor that is an attribute of it belongs there."""
        return {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}

    def _split_batch(self) -> list[Part]:
        """The batch in as many parts as --accumulate says, the same number in all processes."""
        count = min(self.opt.accumulate, max(1, min(self.counts)))
        if count == 1:
            return [Part({}, 1.0)]
        images = len(self.image_paths)
        # What a step makes, the last one left behind.
        inputs = {name: value for name, value in self._batch_tensors().items() if name not in self._made}
        chunks = {name: value.tensor_split(count) for name, value in inputs.items() if value.shape[:1] == (images,)}
        parts = [{name: values[i] for name, values in chunks.items()} for i in range(count)]
        self._whole = {name: inputs[name] for name in chunks}
        return [Part(tensors, len(next(iter(tensors.values()))) / images) for tensors in parts]

    def _join_batch(self) -> None:
        """Put the whole batch in the place of its last part."""
        self._made = self._batch_tensors().keys() - self._whole.keys()
        vars(self).update(self._whole)
        self._whole = {}

    def _run_phase(self, phase: Phase, parts: Sequence[Part]) -> None:
        for network in self.networks().values():
            network.requires_grad_(any(network is learning for learning in phase.networks))
        phase.optimizer.zero_grad(set_to_none=True)
        # Only fp16 goes on after a step that was skipped, whose forward pass may have spoilt the statistics of norms.
        buffers = self._buffers() if self.precision.may_skip else []
        before = [buffer.clone() for buffer in buffers]
        terms: dict[str, Tensor] = {}
        for part in parts:
            vars(self).update(part.tensors)
            for name, term in self._add_gradients(phase, part.share).items():
                terms[name] = terms[name] + term if name in terms else term
            if len(parts) > 1:  # what this part made is kept for later phases, but not how
                part.tensors = {name: value.detach() for name, value in self._batch_tensors().items()}
        self._average(phase, terms)
        self.losses |= terms
        learning = (parameter for network in phase.networks for parameter in network.parameters())
        self.precision.unscale(phase.optimizer)
        skip = self.watch.check(phase.name, terms, (parameter.grad for parameter in learning))
        # A fused optimizer leaves its weights alone where this flag, on the device, is 1.
        if getattr(phase.optimizer, "_step_supports_amp_scaling", False):
            phase.optimizer.found_inf = skip  # type: ignore[attr-defined]
            phase.optimizer.step()
        elif not skip.item():  # an optimizer of the user's own, which knows no flag
            phase.optimizer.step()
        for buffer, old in zip(buffers, before, strict=True):
            buffer.copy_(torch.where(skip > 0, old, buffer))
        if phase is self.measured_phase:
            self.epoch_loss.add(torch.stack([*terms.values()]).sum(), skip == 0)

    def _add_gradients(self, phase: Phase, share: float) -> dict[str, Tensor]:
        """Take the paths of a phase on a part of the batch; returns its loss terms, as the share they are."""
        terms: dict[str, Tensor] = {}
        for path in phase.paths:
            with self.precision.autocast():
                new = path()
            self.precision.backward(torch.stack([*new.values()]).sum() * share)
            terms |= {name: term.detach() * share for name, term in new.items()}
        return terms

    def _average(self, phase: Phase, terms: dict[str, Tensor]) -> None:
        """Average gradients and loss terms over the processes, each weighing as much as it has images."""
        parameters = [parameter for network in phase.networks for parameter in network.parameters()]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        own, total = self.counts[self.processes.rank], sum(self.counts)
        self.processes.average([*gradients, *terms.values()], own, total)

    def query(self, pool: Any, images: Tensor) -> Tensor:
        """What an image pool gives for images (N, C, H, W): every process holds the same pool, of all their images."""
        if self.processes.count == 1 or pool.size == 0:
            return pool.query(images)
        height, width = images.shape[-2:]
        if len(set(self.processes.counts(height << 32 | width))) > 1:
            raise UserError(
                "--pool_size above 0 needs images of one size in all processes: use a --preprocess that crops, or "
                "--pool_size 0"
            )
        own = min(len(images), self.counts[self.processes.rank])
        counts = self.processes.counts(own)
        shown = pool.query(self.processes.gather(images.detach(), counts))
        start = sum(counts[: self.processes.rank])
        return shown[start : start + own] if own else images.detach()

    @property
    def measured_phase(self) -> Phase:
        """Whose loss --lr_policy plateau looks at: the generators', whatever comes first."""
        return next((phase for phase in self.phases if phase.name == "G"), self.phases[0])

    def _buffers(self) -> list[Tensor]:
        return [buffer for network in self.networks().values() for buffer in network.buffers()]

    def update_learning_rate(self) -> None:
        """Step every schedule, at the end of an epoch. plateau looks at the epoch's mean of the generators' loss."""
        self.check_finite()
        measure = self.epoch_loss.mean()
        for schedule in self.schedules.values():
            schedule.step(measure)
        self.epoch_loss.reset()

    def check_finite(self) -> None:
        """Raises TrainingDiverged if a loss or a gradient was not finite in any step so far; none changed a weight."""
        self.watch.raise_if_broken()

    @property
    def step_images(self) -> int:
        """How many images the last step was trained on, by all processes together."""
        return sum(self.counts)

    @property
    def skipped_steps(self) -> int:
        """How many optimizer steps --precision fp16 has skipped so far, as their numbers overflowed."""
        return int(self.watch.skipped) if self.precision.may_skip else 0

    @property
    def learning_rate(self) -> float:
        return float(next(iter(self.optimizers.values())).param_groups[0]["lr"])

    # Looking at it.

    def test(self) -> None:
        """Compute the visuals without keeping what a backward pass would need."""
        with torch.inference_mode(), self.precision.autocast():
            self.forward()

    def in_eval_mode(self, network: nn.Module, x: Tensor) -> Tensor:
        """What a network gives in eval mode, in the middle of training; nothing is learnt of it."""
        mode = network.training
        network.eval()
        with torch.no_grad(), self.precision.autocast():
            result = losses.in_full(network(x))
        network.train(mode)
        return result

    def eval(self) -> None:
        """Dropout off, batch norm by its running statistics."""
        for network in self.networks().values():
            network.eval()

    @property
    def depends_on_batch(self) -> bool:
        """Whether, in training mode, an image's result is random or depends on the other images of the batch."""
        from models.networks.layers import mixes_images

        networks = self.networks().values()
        dropouts = (module for network in networks for module in network.modules() if type(module) is torch.nn.Dropout)
        return any(map(mixes_images, networks)) or any(dropout.training for dropout in dropouts)

    def get_current_visuals(self) -> dict[str, Tensor]:
        """The images of the last step, detached, by name; only those that were computed."""
        return {name: losses.in_full(getattr(self, name).detach()) for name in self.visual_names if hasattr(self, name)}

    def get_current_losses(self) -> dict[str, float]:
        """The weighted losses of the last step by name, as numbers; without those of a step that fp16 skipped.

        Raises TrainingDiverged, see `check_finite`.
        """
        self.check_finite()
        numbers = {name: float(loss) for name, loss in self.losses.items()}
        return {name: number for name, number in numbers.items() if math.isfinite(number)}

    def get_image_paths(self) -> list[str]:
        """The input files of the last batch."""
        return self.image_paths

    def describe(self, verbose: bool = False) -> str:
        """The networks and their sizes, for the console; with every layer if verbose."""
        lines = []
        for name, network in self.networks().items():
            millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
            lines.append((f"{network}\n" if verbose else "") + f"net{name}: {millions:.3f} M parameters")
        return "\n".join([*lines, *self._remarks()])

    @property
    def _has_parts(self) -> bool:
        """Whether a step computes losses part by part of its batch: by --accumulate, or in several processes."""
        return self.opt.accumulate > 1 or self.processes.count > 1

    def _remarks(self) -> list[str]:
        """What there is to say of options that don't help here, or of one that would; mostly nothing."""
        opt, on_cpu = self.opt, self.device.type == "cpu"
        remarks = [self.precision.advice] if self.precision.advice else []
        if opt.conv == "winograd" and not on_cpu:
            remarks.append("note: --conv winograd is for CPUs; the libraries of a GPU choose better for themselves")
        if not self.is_train:
            return remarks
        from models.networks.generators import ResnetBlock
        from models.networks.layers import mixes_images

        if opt.channels_last and on_cpu:
            remarks.append("note: --channels_last is for GPUs; on most CPUs training is slower with it")
        if self._has_parts and any(map(mixes_images, self.networks().values())):
            remarks.append("note: batch norm takes its statistics from each part of a batch, or process, for itself")
        if opt.accumulate > opt.batch_size:
            remarks.append(
                f"note: --accumulate {opt.accumulate}: a batch of {opt.batch_size} has no more parts than images"
            )
        blocks = any(isinstance(module, ResnetBlock) for net in self.networks().values() for module in net.modules())
        if opt.grad_checkpoint and not blocks:
            remarks.append("note: --grad_checkpoint changes nothing, as no network here has residual blocks")
        return remarks


class RunningMean:
    """Mean of scalars that stay on their device until it is asked for."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total: Tensor | float = 0.0
        self.count: Tensor | int = 0

    def add(self, value: Tensor, counts: Tensor) -> None:
        """Add a value, if `counts`, both scalars."""
        self.total = self.total + torch.where(counts, value, 0.0)
        self.count = self.count + counts.long()

    def mean(self) -> float:
        """NaN of nothing."""
        return float(self.total) / count if (count := int(self.count)) else math.nan

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total, self.count = state["total"], state["count"]
