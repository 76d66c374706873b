"""The base class of every model: networks, optimizers, and the phases of a training step."""

from __future__ import annotations

import argparse
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.advice import graphs_obstacle, inference_notes, training_notes
from models.averages import create_averages
from models.deprecated_names import DeprecatedNames
from models.graphed_step import GraphedStep
from models.model_options import ModelOptions
from models.networks import sizes
from models.networks.layers import initialize, uses_batch_statistics
from models.non_finite_guard import NonFiniteGuard
from models.objectives import GAN_MODES
from models.objectives.losses import upcast
from models.schedules import Schedule
from models.step_data import StepAttributes, StepData
from models.training_step import Phase, TrainingStep, require_registered
from util import moved
from util.errors import UserError
from util.image_sizes import ImageSizes
from util.runs import checkpoint, weights
from util.runtime import compilation, device
from util.runtime.graphs import CudaGraphs
from util.runtime.precision import Precision
from util.runtime.processes import processes
from util.stage import Stage

__all__ = ["BaseModel", "Phase", "RealImage", "Translation"]

# Names of objects that every checkpoint contains, see `BaseModel.state_objects` and util.runs.base_run.
RESERVED_STATES = ("dataset", "epoch_loss", "losses", "metrics", "precision", "progress", "random", "watch")
RESERVED_PREFIXES = ("average_", "net_", "optimizer_", "schedule_")
MAX_SKIPS = 30  # consecutive steps that fp16 may skip: enough for halving the largest loss scale down to 1
Network = TypeVar("Network", bound=nn.Module)
State = TypeVar("State", bound="checkpoint.Stateful")


@dataclass
class Translation:
    """A source image and its translation. Images are (C, H, W) in [-1, 1]."""

    path: str  # of the source image
    visuals: dict[str, Tensor]  # by name, in display order
    truth: dict[str, Tensor]  # ground truth, by the name of the visual to compare with it; may be empty


@dataclass
class RealImage:
    """A real image (C, H, W) in [-1, 1] of the domain that the translations under `visual` belong to."""

    visual: str
    path: str
    image: Tensor


class BaseModel(DeprecatedNames, StepAttributes, ModelOptions, ABC):
    """Base class of models. To write a model, copy models/template_model.py.

    A subclass registers its networks with `add_network` and other objects that have a state with `add_state`. It lists
    the images to display in `visual_names` (attribute names) and, for training, sets `phases`. Images are (N, C, H, W)
    in [-1, 1].
    """

    has_fixed_samples = False
    """Whether the visuals already show samples that are the same in every epoch."""
    can_use_graphs = False
    """Whether the paths of this class can be captured in CUDA graphs: their operations may depend only on the shapes of
    their inputs and on `host_decisions`. Subclasses do not inherit this value, and have to set it again."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if not hasattr(cls.set_input, "begins_step"):  # that of the class, or of a mixin
            cls.set_input = _record_inputs(cls.set_input)  # type: ignore[method-assign]

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__()
        self.opt = opt
        self.stage = Stage.TRAIN if opt.is_train else Stage.TEST  # see `create_model`
        self.device = device.get_device(opt.device)
        self.precision = Precision(opt.precision, self.device)
        self.processes = processes()
        if self.is_training_stage and "syncbatch" in (opt.norm, opt.norm_D):
            device.require_sync_batch_norm(self.device, self.processes.world_size)
        self.folder = Path(opt.checkpoints_dir) / opt.name
        self.network_names: list[str] = []  # network `name` is the attribute net<name>
        self.averaged_names: list[str] = []  # networks with a moving average (--ema_decay)
        self.visual_names: list[str] = []
        self.phases: list[Phase] = []
        self.image_paths: list[str] = []
        self._states: dict[str, checkpoint.Stateful] = {}
        if self.is_training_stage:
            GAN_MODES.find(opt.gan_mode)  # raises UserError before anything is built

    @property
    def is_training_stage(self) -> bool:
        return self.stage is Stage.TRAIN

    # Methods that a subclass implements.

    @abstractmethod
    def set_input(self, batch: Mapping[str, Any]) -> None:
        """Store a batch of the dataset: move images to the device with `to_device`, put paths into `image_paths`.

        Every tensor assigned to an attribute in this method is an input of the step, see models/step_data.py.
        """

    @abstractmethod
    def forward(self) -> None:
        """Compute all visuals from the inputs, for testing."""

    def translations(self, batch: Mapping[str, Any]) -> list[Translation]:
        """The results of `test` on this batch, one for each source image."""
        visuals = self.get_current_visuals()
        return [
            Translation(path, {name: visual[i] for name, visual in visuals.items()}, {})
            for i, path in enumerate(self.image_paths)
        ]

    def real_images(self, batch: Mapping[str, Any]) -> list[RealImage]:
        """The real images of a batch that translations are compared with as a set: those of the target domain."""
        return self.real_images_of(batch, "fake_B", backwards=False) if "fake_B" in self.visual_names else []

    def real_images_of(self, batch: Mapping[str, Any], visual: str, *, backwards: bool) -> list[RealImage]:
        """The images of a batch in the domain that B (with `backwards`: A) stands for, if the batch has that domain."""
        domain = "B" if (self.opt.direction == "AtoB") != backwards else "A"
        if domain not in batch:
            return []
        return [
            RealImage(visual, path, image) for path, image in zip(batch[f"{domain}_paths"], batch[domain], strict=True)
        ]

    # Building, saving and restoring networks.

    def add_network(self, name: str, network: Network, *, averaged: bool = False) -> Network:
        """Initialize a network, move it to the device and register it as `net<name>`; checkpoints then contain it.

        `averaged`: keep an exponential moving average of its weights if --ema_decay is set.
        """
        self._require_free(f"net_{name}")
        network = self.prepare_network(network)
        setattr(self, f"net{name}", network)
        self.network_names.append(name)
        if averaged:
            self.averaged_names.append(name)
        return network

    def add_state(self, name: str, thing: State) -> State:
        """Register an object with a state dict, such as an image pool; checkpoints contain it as `name`."""
        self._require_free(name)
        self._states[name] = thing
        return thing

    def _require_free(self, name: str) -> None:
        """Raise UserError if checkpoints already contain an object of this name."""
        used = {*RESERVED_STATES, *self._states, *(f"net_{network}" for network in self.network_names)}
        if name in used or (name.startswith(RESERVED_PREFIXES) and not name.startswith("net_")):
            raise UserError(f"{type(self).__name__} registers {name!r}, a name that is used already: choose another")

    def prepare_network(self, network: Network) -> Network:
        """Move a network to the device. In training, initialize its weights before that."""
        if self.is_training_stage:
            initialize(network, self.opt.init_type, self.opt.init_gain)
            if self.opt.channels_last:
                network = network.to(memory_format=torch.channels_last)
            if self.opt.compile:
                compilation.compile_network(network, self.device)
        return network.to(self.device)

    def to_device(self, images: Tensor) -> Tensor:
        """Move images of a batch to the model's device, in contiguous (NCHW) memory format."""
        return images.to(self.device, non_blocking=device.copies_asynchronously(self.device)).contiguous()

    def adam(self, *networks: nn.Module) -> Optimizer:
        """One Adam optimizer for these networks, with --lr and --beta1.

        It is fused, so that a flag on the device can skip a step without a synchronization.
        """
        parameters = [parameter for network in networks for parameter in network.parameters()]
        rate: float | Tensor = self.opt.lr
        if self.uses_graphs:  # a graph reads the learning rate from the device
            rate = torch.tensor(self.opt.lr, device=self.device)
        return torch.optim.Adam(
            parameters, lr=rate, betas=(self.opt.beta1, 0.999), fused=True, capturable=self.uses_graphs
        )

    @property
    def uses_graphs(self) -> bool:
        """Whether training steps are replayed from CUDA graphs (--cuda_graph)."""
        return self.wants_graphs and not self.why_no_graphs()

    @property
    def wants_graphs(self) -> bool:
        return getattr(self.opt, "cuda_graph", "off") == "on"

    def why_no_graphs(self) -> str:
        """Why --cuda_graph on has no effect; empty if it has one."""
        return graphs_obstacle(self.opt, self.device.type, is_known=vars(type(self)).get("can_use_graphs", False))

    def host_decisions(self) -> Hashable:
        """Values, besides shapes, that the operations of the next step depend on; for models with `can_use_graphs`."""
        return None

    def _create_step(self) -> TrainingStep:
        settings: dict[str, Any] = {
            "precision": self.precision,
            "world": self.processes,
            "guard": self.guard,
            "accumulate": self.opt.accumulate,
        }
        if not self.uses_graphs:
            return TrainingStep(self.phases, self.networks(), **settings)
        return GraphedStep(
            self.phases,
            self.networks(),
            graphs=CudaGraphs(self.device),
            query=self.query_pool,
            state=self.host_decisions,
            **settings,
        )

    def setup(self, opt: argparse.Namespace) -> None:
        """Create schedules and moving averages (training), or load the weights of --epoch (testing)."""
        if not self.is_training_stage:
            self.load_networks(opt.epoch)
            return
        self.optimizers = {phase.name: phase.optimizer for phase in self.phases}
        self.schedules = {name: Schedule(optimizer, opt) for name, optimizer in self.optimizers.items()}
        self.guard = NonFiniteGuard(self.device, max_skips=MAX_SKIPS if self.precision.may_skip else 0)
        self.averages = create_averages(self.networks(), self.averaged_names, opt.ema_decay)
        self.training_step = self._create_step()
        self.epoch_loss = self.training_step.epoch_loss

    def check_registered(self) -> None:
        """Raise UserError if a phase trains a network that is not registered."""
        require_registered(self.phases, self.networks())

    def networks(self) -> dict[str, nn.Module]:
        """The registered networks by name: G_A, D_A, ..."""
        return {name: getattr(self, f"net{name}") for name in self.network_names}

    def state_objects(self) -> dict[str, checkpoint.Stateful]:
        """All objects that a checkpoint saves and restores, by name."""
        objects: dict[str, Any] = {f"net_{name}": network for name, network in self.networks().items()}
        objects |= {f"average_{name}": average for name, average in self.averages.items()}
        objects |= {f"optimizer_{name}": optimizer for name, optimizer in self.optimizers.items()}
        # Restored after the optimizers, because a schedule sets their learning rates.
        objects |= {f"schedule_{name}": schedule for name, schedule in self.schedules.items()}
        objects |= {"epoch_loss": self.epoch_loss, "precision": self.precision, "watch": self.guard}
        return objects | self._states

    def save_networks(self, epoch: str) -> None:
        """Save every network as <epoch>_net_<name>.pth."""
        weights.write_weights(self.weights(epoch))

    def weights(self, epoch: str) -> dict[Path, dict[str, Tensor]]:
        """The state dicts that `save_networks` writes, by file: of the moving average where a network has one."""
        saved = self.networks() | self._ready_averages()
        return {weights.weights_path(self.folder, epoch, name): network.state_dict() for name, network in saved.items()}

    def _ready_averages(self) -> dict[str, nn.Module]:
        """The moving averages, by network."""
        # One of no step yet is that of the initial weights: in a run that is resumed with --ema_decay.
        averages = getattr(self, "averages", {})  # empty before `setup`
        return {name: average.module for name, average in averages.items() if int(average.n_averaged) > 0}

    def load_networks(self, epoch: str) -> None:
        """Load every network from <epoch>_net_<name>.pth."""
        weights.load_weights(
            {weights.weights_path(self.folder, epoch, name): network for name, network in self.networks().items()}
        )

    # Training.

    def optimize_parameters(self) -> None:
        """Take one training step on the batch of `set_input`: all phases in order, then the moving averages."""
        for schedule in self.schedules.values():
            schedule.begin_step(self.guard.step + 1)
        self.step_data.images = len(self.image_paths)
        self.training_step.run(self.step_data, functools.partial(self.recording, "outputs"))
        self.show_step()  # of the whole batch
        self.processes.seed_step(self.opt.seed, self.guard.step)
        for name, average in self.averages.items():
            average.update(getattr(self, f"net{name}"))

    def query_pool(self, pool: Any, images: Tensor) -> Tensor:
        """The images (N, C, H, W) that an image pool returns for `images`. Every rank has the same copy of the pool.

        Raises UserError if ranks have images of different sizes.
        """
        if (queried := self.training_step.queried_images(pool)) is not None:
            return queried
        if self.processes.world_size == 1 or pool.size == 0:
            return pool.query(images)
        if not self.training_step.same_shapes:
            self._require_same_size(images)
        counts = self.step_data.counts
        own = counts[self.processes.rank]
        if own not in (0, len(images)):
            raise UserError(
                f"query_pool got {len(images)} images for {own} input images: with several processes, pass one for each"
            )
        returned = pool.query(self.processes.all_gather(images.detach(), counts))
        start = sum(counts[: self.processes.rank])
        return returned[start : start + own] if own else images.detach()

    def _require_same_size(self, images: Tensor) -> None:
        """Raise UserError if ranks have images of different sizes."""
        height, width = images.shape[-2:]
        if len(set(self.processes.all_gather_ints(height << 32 | width))) > 1:
            raise UserError(
                "--pool_size above 0 needs images of the same size on all ranks: use a --preprocess that crops, or "
                "--pool_size 0"
            )

    def update_learning_rate(self) -> None:
        """Step every schedule at the end of an epoch; the policy plateau monitors the epoch's mean generator loss.

        Raises TrainingDiverged, see `check_finite`.
        """
        self.check_finite()
        metric = self.epoch_loss.mean()
        for schedule in self.schedules.values():
            schedule.step(metric)
        self.epoch_loss.reset()

    def check_finite(self) -> None:
        """Raise TrainingDiverged if a loss or gradient of any step so far was not finite (no such step is applied)."""
        self.guard.raise_if_broken()

    @property
    def step_images(self) -> int:
        """The number of images in the last step, over all ranks."""
        return sum(self.training_step.counts)

    @property
    def skipped_steps(self) -> int:
        """The number of optimizer steps that --precision fp16 has skipped so far because of overflow."""
        return int(self.guard.skipped) if self.precision.may_skip else 0

    @property
    def learning_rate(self) -> float:
        """The current learning rate of the first optimizer's first parameter group."""
        return float(next(iter(self.optimizers.values())).param_groups[0]["lr"])

    @property
    def has_micro_batches(self) -> bool:
        """Whether losses are computed on parts of a batch: by gradient accumulation or on several ranks."""
        return self.opt.accumulate > 1 or self.processes.world_size > 1

    # Inference.

    def test(self) -> None:
        """Compute the visuals in inference mode, in the size of the inputs, whatever multiple the networks need."""
        padding = sizes.padding(self.networks().values())
        with torch.inference_mode(), self.precision.autocast(), self.recording("outputs"), padding:
            self.forward()

    def image_sizes(self, stage: Stage) -> ImageSizes:
        """The sizes of the images that the networks take in this stage. The dataset skips images of other sizes."""
        return sizes.image_sizes(self.networks(), stage)

    def generator(self, backwards: bool = False) -> nn.Module:
        """The network that translates from A to B, or, with `backwards`, from B to A.

        Raises UserError if the model has no such network.
        """
        network = getattr(self, "netG", None)
        if network is None:
            raise UserError(f"--model {self.opt.model} does not translate images")
        if backwards:
            raise UserError(f"--model {self.opt.model} translates in one direction only")
        return network

    def input_channels(self, backwards: bool = False) -> int:
        """The number of channels of the images that `translate` accepts."""
        return int(self.opt.output_nc if backwards else self.opt.input_nc)

    def translate(self, images: Tensor, backwards: bool = False) -> Tensor:
        """Translate images (N, C, H, W) of any size in [-1, 1], as read from files; returns at least float32."""
        return upcast(sizes.apply_padded(self.generator(backwards), images))

    @contextmanager
    def validating(self) -> Iterator[None]:
        """A context for validation (`set_input`, `test`) between training steps: stage VALIDATE, networks in eval mode.

        Networks with a moving average are replaced by it, as in weight files. Afterwards, the data of the training
        step, the mode of every layer, and torch's random state are restored. Weights and running statistics do not
        change. Networks run uncompiled: compiling them again, for eval mode, would take minutes.
        """
        before, attributes = (self.stage, self.step_data, self.image_paths), self.hide_step()
        trained = {name: getattr(self, f"net{name}") for name in self._ready_averages()}
        vars(self).update({f"net{name}": average for name, average in self._ready_averages().items()})
        modes = [(layer, layer.training) for network in self.networks().values() for layer in network.modules()]
        self.stage = Stage.VALIDATE
        self.eval()
        try:
            with device.preserved_random_state(self.device), compilation.uncompiled(self.opt.compile):
                yield
        finally:
            self.hide_step()
            self.stage, self.step_data, self.image_paths = before
            vars(self).update(attributes)
            vars(self).update({f"net{name}": network for name, network in trained.items()})
            for layer, mode in modes:
                layer.training = mode

    def in_eval_mode(self, network: nn.Module, x: Tensor) -> Tensor:
        """The output of a network in eval mode, without gradients; restores the network's mode afterwards."""
        mode = network.training
        network.eval()
        with torch.no_grad(), self.precision.autocast():
            result = upcast(network(x))
        network.train(mode)
        return result

    def eval(self) -> None:
        """Set all networks to eval mode: no dropout, and batch norm uses its running statistics."""
        for network in self.networks().values():
            network.eval()

    @property
    def depends_on_batch(self) -> bool:
        """Whether an image's result is random or depends on the other images of the batch, in the current mode."""
        networks = self.networks().values()
        dropouts = (module for network in networks for module in network.modules() if type(module) is nn.Dropout)
        return any(map(uses_batch_statistics, networks)) or any(dropout.training for dropout in dropouts)

    def get_current_visuals(self) -> dict[str, Tensor]:
        """The images of the last step by name, detached, in `visual_names` order; without those not computed."""
        visuals = {name: upcast(getattr(self, name).detach()) for name in self.visual_names if hasattr(self, name)}
        # The next replay of a graph overwrites its outputs.
        return {name: visual.clone() for name, visual in visuals.items()} if self.uses_graphs else visuals

    def get_current_losses(self) -> dict[str, float]:
        """The weighted losses of the last step by name; without non-finite ones of a step that fp16 skipped.

        Raises TrainingDiverged, see `check_finite`.
        """
        self.check_finite()
        numbers = {name: float(loss) for name, loss in self.step_data.losses.items()}
        return {name: number for name, number in numbers.items() if math.isfinite(number)}

    def get_image_paths(self) -> list[str]:
        """The input files of the last batch."""
        return self.image_paths

    def describe(self, verbose: bool = False) -> str:
        """The networks and their numbers of parameters, with every layer if `verbose`; device, precision and notes."""
        lines = []
        for name, network in self.networks().items():
            millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
            lines.append((f"{network}\n" if verbose else "") + f"net{name}: {millions:.3f} M parameters")
        automatic = ("joint_passes", "cuda_graph") if self.is_training_stage else ()
        chosen = [f", --{name} {getattr(self.opt, name)}" for name in automatic if hasattr(self.opt, name)]
        lines.append(f"device {self.device}, precision {self.precision.name}{''.join(chosen)}")
        return "\n".join([*lines, *self.notes()])

    def notes(self) -> list[str]:
        """Notes on options that have no effect with this model or device, or for which a better choice exists."""
        on_cpu = self.device.type == "cpu"
        notes = [self.precision.note] if self.precision.note else []
        notes += inference_notes(self.opt, on_cpu=on_cpu)
        if self.is_training_stage:
            notes += [self.precision.advice] if self.precision.advice else []
            networks = self.networks().values()
            if self.wants_graphs and (why := self.why_no_graphs()):
                notes.append(f"note: --cuda_graph on has no effect {why}")
            notes += training_notes(self.opt, networks, on_cpu=on_cpu, has_micro_batches=self.has_micro_batches)
        return notes


def _record_inputs(set_input: Callable[..., None]) -> Callable[..., None]:
    """Wrap `set_input`: it begins a new step, and every tensor that it assigns becomes an input of the step."""

    @functools.wraps(set_input)
    def begin_step(self: BaseModel, batch: Mapping[str, Any]) -> None:
        if self._role == "inputs":  # called by the set_input of a subclass
            set_input(self, batch)
            return
        self.step_data = StepData()
        with self.recording("inputs"):
            set_input(self, batch)
        self.step_data.images = len(self.image_paths)

    begin_step.begins_step = True  # type: ignore[attr-defined]
    return begin_step


__getattr__ = moved.old_names(__name__, RunningMean="models.running_mean:RunningMean")
