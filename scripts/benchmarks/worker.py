"""A process that runs one kind of computation for each line on its standard input, and answers in JSON.

Each implementation has its own process, since util/runtime changes how a process allocates memory. The processes take
turns and never compute at the same time. scripts/benchmarks/workers.py starts them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from models import create_model
from options import TrainOptions
from scripts.benchmarks import device_time, peaks, profiles
from scripts.benchmarks.memory import peak_bytes
from scripts.benchmarks.plain import PlainCycleGAN
from util.errors import run_main
from util.runtime.start import prepare

# Runs for one measurement of time; several on a GPU, because the host queues a run while the GPU computes another.
RUNS = {"cpu": 1, "cuda": 10}


class Job(ABC):
    """A computation to repeat on fixed images (batch, 3, crop_size, crop_size), in pinned memory for a GPU."""

    dtype = torch.float32  # in which the convolutions compute

    def __init__(self, opt: argparse.Namespace) -> None:
        self.device = torch.device(opt.device)
        random = torch.Generator().manual_seed(1)
        shape = (opt.batch_size, 3, opt.crop_size, opt.crop_size)
        self.real_A, self.real_B = (torch.rand(shape, generator=random) * 2 - 1 for _ in range(2))
        if self.device.type == "cuda":
            self.real_A, self.real_B = self.real_A.pin_memory(), self.real_B.pin_memory()

    @abstractmethod
    def run(self) -> None: ...

    def losses(self) -> dict[str, float]:
        """The losses of the last run."""
        return {}

    def kept(self) -> Iterator[Tensor]:
        """Weights, gradients and optimizer states."""
        for optimizer in self.optimizers():
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    yield from (weight, *optimizer.state.get(weight, {}).values())
                    if weight.grad is not None:
                        yield weight.grad

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return []


class PlainStep(Job):
    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.model = PlainCycleGAN(opt)
        self.dtype = torch.bfloat16 if opt.precision == "bf16" else torch.float32

    def run(self) -> None:
        images = (x.to(self.device, non_blocking=True) for x in (self.real_A, self.real_B))
        self.last_losses = self.model.step(*images)

    def losses(self) -> dict[str, float]:
        return {name: loss.item() for name, loss in self.last_losses.items()}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.model.optimizer_G, self.model.optimizer_D]


class Step(Job):
    """The work of train.py for one batch, without logging."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        opt = prepare(opt, trains=True)
        self.model: Any = create_model(opt)
        self.model.setup(opt)
        paths = ["image"] * opt.batch_size
        self.batch = {"A": self.real_A, "B": self.real_B, "A_paths": paths, "B_paths": paths}

    def run(self) -> None:
        self.model.set_input(self.batch)
        self.model.optimize_parameters()

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [phase.optimizer for phase in self.model.phases]

    def losses(self) -> dict[str, float]:
        return self.model.get_current_losses()


class PlainForward(Job):
    """The plain generator alone."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.netG: nn.Module = PlainCycleGAN(opt).netG_A

    @torch.no_grad()
    def run(self) -> None:
        self.netG(self.real_A.to(self.device))


class Forward(Job):
    """The generator of this project alone."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.model: Any = create_model(opt)

    @torch.inference_mode()
    def run(self) -> None:
        with self.model.precision.autocast():
            self.model.netG_A(self.real_A.to(self.device))


JOBS: dict[str, Callable[[argparse.Namespace], Job]] = {
    "plain step": PlainStep,
    "step": Step,
    "plain forward": PlainForward,
    "forward": Forward,
}


def timed(job: Job) -> dict[str, float]:
    """Seconds of one run."""
    return {"seconds": device_time.seconds(job.run, job.device, RUNS[job.device.type])}


def first_losses(job: Job) -> dict[str, float]:
    """The losses of one run."""
    job.run()
    return job.losses()


def launched(job: Job) -> dict[str, float]:
    """Figures of a run on a GPU: "kernels", "busy" seconds, "reserved" bytes, and "host": the seconds to launch it."""
    if job.device.type != "cuda":
        return {}
    measured = device_time.kernels(job.run, job.device)
    measured["host"] = device_time.host_seconds(job.run, job.device, RUNS["cuda"])
    return measured | {"reserved": device_time.reserved_bytes(job.run, job.device)}


def counted(job: Job) -> dict[str, float]:
    """Floating-point operations of one run: twice the multiplications of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        job.run()
    return {"flop": counter.get_total_flops()}


COMMANDS: dict[str, Callable[[Job], dict[str, float]]] = {
    "time": timed,
    "losses": lambda job: job.losses(),
    "first losses": first_losses,
    "memory": lambda job: {"bytes": peak_bytes(job.run, job.kept, job.device)},
    "flop": counted,
    "profile": lambda job: profiles.seconds_by_kind(job.run),
    "launches": launched,
    "peaks": lambda job: peaks.gigaflops(job.device, job.dtype),
}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other output must not mix with the answers
    kind, *flags = sys.argv[1:]
    job = JOBS[kind](TrainOptions().parse(flags))
    for line in sys.stdin:
        print(json.dumps(COMMANDS[line.strip()](job)), file=answers, flush=True)


if __name__ == "__main__":
    run_main(main)
