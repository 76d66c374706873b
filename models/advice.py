"""Notes for the console on options that have no effect, or for which a better choice exists."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from torch import nn

from models.networks.generators import ResnetBlock
from models.networks.layers import uses_batch_statistics


def inference_notes(opt: argparse.Namespace, *, on_cpu: bool) -> list[str]:
    """The notes on options that hold in training and testing; usually empty."""
    if opt.conv == "winograd" and not on_cpu:
        return ["note: --conv winograd is for CPUs; on a GPU, cuDNN selects the fastest algorithm"]
    return []


def determinism_notes(opt: argparse.Namespace, *, on_cpu: bool) -> list[str]:
    """Notes on the effect of --deterministic, or of its absence, on this run; usually empty."""
    if opt.deterministic and on_cpu:
        return ["note: --deterministic is for GPUs; on a CPU, runs are deterministic without it"]
    if opt.continue_train and not (opt.deterministic or on_cpu):
        return [
            "note: without --deterministic, a run that is resumed on a GPU ends only statistically the same as an "
            "uninterrupted one, not bit for bit"
        ]
    return []


def graphs_obstacle(opt: argparse.Namespace, device_type: str, *, is_known: bool) -> str:
    """Why training steps can't be replayed from CUDA graphs; empty if they can.

    `is_known`: whether the model's class declares that its steps can be captured.
    """
    own = next((name for name in ("netG", "netD", "gan_mode") if ":" in getattr(opt, name, "")), "")
    obstacles = {
        f"on this device ({device_type})": device_type != "cuda",
        f"with --model {opt.model}, which does not set can_use_graphs": not is_known,
        f"with a --{own} of your own, which may decide on the host": bool(own),
        "with --precision fp16, whose loss scale is adapted by the host": opt.precision == "fp16",
        f"with --accumulate {opt.accumulate}": opt.accumulate > 1,
        "with --grad_checkpoint, which saves random states": opt.grad_checkpoint,
        "with --compile": opt.compile,
        "with --norm syncbatch, whose layers exchange statistics": "syncbatch" in (opt.norm, opt.norm_D),
    }
    return next((text for text, is_true in obstacles.items() if is_true), "")


def training_notes(
    opt: argparse.Namespace, networks: Collection[nn.Module], *, on_cpu: bool, has_micro_batches: bool
) -> list[str]:
    """The notes on options of training, for these networks; usually empty."""
    notes = []
    if opt.channels_last and on_cpu:
        notes.append("note: --channels_last is for GPUs; on most CPUs it makes training slower")
    elif opt.channels_last and "instance" in (opt.norm, opt.norm_D):
        notes.append(
            "note: --channels_last may be slower with instance norm, which copies images to the other memory "
            "format and back"
        )
    notes += determinism_notes(opt, on_cpu=on_cpu)
    if has_micro_batches and any(map(uses_batch_statistics, networks)):
        notes.append("note: batch norm computes its statistics for each micro-batch and each rank separately")
    if opt.accumulate > opt.batch_size:
        notes.append(
            f"note: --accumulate {opt.accumulate}: a batch of {opt.batch_size} can't be split into more micro-batches "
            "than images"
        )
    has_blocks = any(isinstance(module, ResnetBlock) for network in networks for module in network.modules())
    if opt.grad_checkpoint and not has_blocks:
        notes.append("note: --grad_checkpoint has no effect: no network of this model has residual blocks")
    return notes
