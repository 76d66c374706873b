"""Notes for the console on options that have no effect, or for which a better choice exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.networks.generators import ResnetBlock
from models.networks.layers import uses_batch_statistics

if TYPE_CHECKING:
    from models.base_model import BaseModel


def option_notes(model: BaseModel) -> list[str]:
    """The notes on this model's options, for its device and stage; usually empty."""
    opt, on_cpu = model.opt, model.device.type == "cpu"
    notes = [model.precision.note] if model.precision.note else []
    if opt.conv == "winograd" and not on_cpu:
        notes.append("note: --conv winograd is for CPUs; on a GPU, cuDNN selects the fastest algorithm")
    if not model.is_training_stage:
        return notes
    networks = model.networks().values()
    if opt.channels_last and on_cpu:
        notes.append("note: --channels_last is for GPUs; on most CPUs it makes training slower")
    if model.has_micro_batches and any(map(uses_batch_statistics, networks)):
        notes.append("note: batch norm computes its statistics for each micro-batch and each rank separately")
    if opt.accumulate > opt.batch_size:
        notes.append(
            f"note: --accumulate {opt.accumulate}: a batch of {opt.batch_size} has at most {opt.batch_size} "
            "micro-batches"
        )
    has_blocks = any(isinstance(module, ResnetBlock) for network in networks for module in network.modules())
    if opt.grad_checkpoint and not has_blocks:
        notes.append("note: --grad_checkpoint has no effect: no network of this model has residual blocks")
    return notes
