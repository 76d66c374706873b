"""What a job runs on: device, precision, seeds and random state. Nothing else asks torch about these."""

from __future__ import annotations

import ctypes
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from util.errors import UserError
from util.processes import processes


def get_device(name: str) -> torch.device:
    """The device of --device, made ready: auto is CUDA where there is one, else Apple's MPS, else the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    device = torch.device(next(kind for kind in available if available[kind]) if name == "auto" else name)
    missing = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if missing or not available[device.type]:
        raise UserError(
            f"--device {name}: torch {torch.__version__} finds no such device here; use --device auto or cpu"
        )
    _check_share(name, device)
    if device.type == "cpu":
        _keep_freed_memory()
    return device


def _check_share(name: str, device: torch.device) -> None:
    """Raise UserError where several processes can't each have a device of that kind."""
    together = processes()
    if together.count == 1 or device.type == "cpu":
        return
    if device.type != "cuda" or device.index is not None:
        raise UserError(f"--device {name} under torchrun: each process takes a GPU of its own; use cuda, or cpu")
    if together.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"torchrun starts more processes than the {torch.cuda.device_count()} GPUs here: lower --nproc_per_node, "
            "or use --device cpu"
        )


def _keep_freed_memory() -> None:
    """Have the C library keep the memory of freed tensors for the next ones.

    By itself glibc hands large blocks back to the system and fetches them anew, page by page, in every layer of every
    step. The most that a job takes is the same; only it does not become less in between.
    """
    if sys.platform != "linux":
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # their numbers in malloc.h
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
        mallopt(mmap_max, 0)


def wants_pinned_memory(name: str) -> bool:
    """Whether the device of --device fetches batches from page-locked memory, while the CPU goes on."""
    return get_device(name).type == "cuda"


def seed_everything(seed: int) -> None:
    """Start torch's random state, which initialisations and dropout draw from, at this seed on every device.

    cuDNN is told to take algorithms whose results repeat. Datasets and image pools draw from states of their
    own, derived from the same seed.
    """
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True


def require_synchronous_norms(device: torch.device, processes: int) -> None:
    """Raise UserError where torch has no batch norm over the batches of all processes; alone it is the usual one."""
    if processes > 1 and device.type != "cuda":
        raise UserError(
            f"--norm syncbatch over {processes} processes works on GPUs alone, not on {device.type}: use --norm batch, "
            "whose statistics are each process's own, or --norm instance"
        )


def compile_network(network: nn.Module, device: torch.device) -> None:
    """Have torch.compile translate a network when it first runs, which takes a minute or so; its parameters stay."""
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
        raise UserError("--compile needs a C++ compiler on a CPU, and there is none: install g++, or leave it out")
    network.compile()


class Precision:
    """What --precision asks for: in what type networks compute, and how gradients survive in few bits.

    fp32: as it is. tf32: float32 whose products are rounded to 10 bits, where the GPU can. bf16, fp16: convolutions in
    16 bits, by torch's autocast; weights, losses and statistics of norms stay float32. fp16 has a narrow range, so
    losses are scaled before going backward, by a factor that halves at each overflow and doubles after 2,000 steps
    without (Micikevicius et al. 2018, section 3.2). Part of a run's checkpoint, for that factor.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device = name, device
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name)
        self.may_skip = name == "fp16"  # a step may overflow, which is no fault
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.may_skip)
        products = "high" if name == "tf32" else "highest"
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = name == "tf32"

    @property
    def advice(self) -> str:
        """What there is to say of this precision on this device; mostly nothing."""
        has_tf32 = self.device.type == "cuda" and torch.cuda.get_device_capability(self.device) >= (8, 0)
        if self.name == "tf32" and not has_tf32:
            return "note: --precision tf32 changes nothing on this device"
        if self.device.type == "cpu" and self.name != "fp32":
            return f"note: --precision {self.name} is slower than fp32 on most CPUs"
        if self.name == "fp32" and has_tf32:
            return "note: --precision tf32 or bf16 would be faster on this GPU"
        return ""

    def autocast(self) -> AbstractContextManager[None]:
        """A context for forward passes."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled, to the parameters'."""
        self.scaler.scale(loss).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Give the gradients of an optimizer's parameters their own size; once, before its step."""
        if self.may_skip:
            self.scaler.unscale_(optimizer)

    def end_step(self) -> None:
        """All optimizers have taken their step: settle the factor for the next."""
        if self.may_skip:
            self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:  # else that of a run without a factor
            self.scaler.load_state_dict(state)


class RandomState:
    """Torch's random state on the CPU and on CUDA devices, as an object that a checkpoint can save and load."""

    def state_dict(self) -> dict[str, Any]:
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        if len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
