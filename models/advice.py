"""Notes for the console on options that have no effect here, or that another one would serve better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.networks.generators import ResnetBlock
from models.networks.layers import mixes_images

if TYPE_CHECKING:
    from models.base_model import BaseModel


def notes_on(model: BaseModel) -> list[str]:
    """The notes for this model's options, device and stage; usually none."""
    opt, on_cpu = model.opt, model.device.type == "cpu"
    notes = [model.precision.advice] if model.precision.advice else []
    if opt.conv == "winograd" and not on_cpu:
        notes.append("note: --conv winograd is for CPUs; on a GPU, cuDNN chooses the fastest algorithm itself")
    if not model.is_training_stage:
        return notes
    networks = model.networks().values()
    if opt.channels_last and on_cpu:
        notes.append("note: --channels_last is for GPUs; on most CPUs it makes training slower")
    if model.has_micro_batches and any(map(mixes_images, networks)):
        notes.append("note: batch norm takes its statistics from each micro-batch, or process, separately")
    if opt.accumulate > opt.batch_size:
        notes.append(f"note: --accumulate {opt.accumulate}: a batch of {opt.batch_size} has no more micro-batches")
    has_blocks = any(isinstance(module, ResnetBlock) for network in networks for module in network.modules())
    if opt.grad_checkpoint and not has_blocks:
        notes.append("note: --grad_checkpoint has no effect, as no network here has residual blocks")
    return notes
