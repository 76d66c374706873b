"""The device that a job runs on. Nothing else asks torch which devices there are."""

from __future__ import annotations

import ctypes
import shutil
import sys
from contextlib import suppress

import torch
from torch import nn

from util.errors import UserError
from util.runtime.processes import processes


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
