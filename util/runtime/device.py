"""The device that a job runs on. No other module asks torch for devices."""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager, suppress
from functools import cache

import torch
from torch import nn

from util.errors import UserError
from util.runtime.processes import processes


def get_device(name: str) -> torch.device:
    """The device of --device, prepared for use; auto selects CUDA if available, else Apple's MPS, else the CPU.

    Raises UserError if the device is unknown or not available, or if the processes of torchrun can't each have one.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    try:
        device = torch.device(next(kind for kind in available if available[kind]) if name == "auto" else name)
    except RuntimeError:
        raise UserError(f"--device must be auto, cpu, mps, cuda, or a GPU such as cuda:0, not {name!r}") from None
    missing = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if missing or not available.get(device.type):
        raise UserError(
            f"--device {name} is not available to torch {torch.__version__} on this machine: use --device auto or cpu"
        )
    _require_device_per_process(name, device)
    if device.type == "cpu":
        _keep_freed_memory()
    return device


def _require_device_per_process(name: str, device: torch.device) -> None:
    """Raise UserError if the processes of torchrun can't each have a device of this type."""
    world = processes()
    if world.world_size == 1 or device.type == "cpu":
        return
    if device.type != "cuda" or device.index is not None:
        raise UserError(f"--device {name} under torchrun: each process uses its own GPU; use --device cuda or cpu")
    if world.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"torchrun started more processes than this machine has GPUs ({torch.cuda.device_count()}): lower "
            "--nproc_per_node, or use --device cpu"
        )


def _keep_freed_memory() -> None:
    """Make the C library keep the memory of freed tensors for later tensors.

    By default, glibc returns large blocks to the operating system and maps them again, page by page, in every layer of
    every step. Peak memory does not change; memory use only does not fall in between.
    """
    if sys.platform != "linux":
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # constants of malloc.h
    with suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
        mallopt(mmap_max, 0)


def wants_pinned_memory(name: str) -> bool:
    """Whether the device of --device copies batches from pinned (page-locked) memory asynchronously."""
    return get_device(name).type == "cuda"


def require_sync_batch_norm(device: torch.device, processes: int) -> None:
    """Raise UserError if torch has no synchronized batch norm for this device and several processes."""
    if processes > 1 and device.type != "cuda":
        raise UserError(
            f"--norm syncbatch with {processes} processes needs GPUs, not --device {device.type}: use --norm batch, "
            "with statistics of each process separately, or --norm instance"
        )


def copies_asynchronously(device: torch.device) -> bool:
    """Whether `to` may return before a copy from pinned memory is complete: only on CUDA, which waits for the copy.

    On other devices, an incomplete copy could be read.
    """
    return device.type == "cuda"


@cache
def honors_skip_flag(device: torch.device) -> bool:
    """Whether fused optimizers on this device skip a step by their flag `found_inf`.

    On CPUs and CUDA, they do. On Apple's MPS, they refuse or ignore the flag, depending on torch's version, so this
    function tries one step.
    """
    if device.type in ("cpu", "cuda"):
        return True
    parameter = nn.Parameter(torch.ones(1, device=device))
    parameter.grad = torch.ones(1, device=device)
    try:
        optimizer = torch.optim.Adam([parameter], fused=True)
        optimizer.found_inf = torch.ones((), device=device)  # type: ignore[attr-defined]
        optimizer.step()
        return float(parameter.detach()) == 1
    except (AssertionError, RuntimeError):
        return False


def preserved_random_state(device: torch.device) -> AbstractContextManager[None]:
    """A context after which torch's random state, on the CPU and on this device, is as before."""
    if device.type == "cpu":
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device], device_type=device.type)


def device_name(device: torch.device) -> str:
    """The model of a GPU, or the type of another device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
