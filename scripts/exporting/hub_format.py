"""--format hub: a folder as model hubs expect it: weights, configuration, model card, ONNX files and a program."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scripts.exporting import card, onnx_format
from scripts.exporting.comparison import stored, values_of
from scripts.exporting.job import Direction, Format
from util.files import atomic_write

WEIGHTS = "model.safetensors"
PROGRAM = Path(__file__).parent / "standalone" / "translate.py"
REQUIREMENTS = "numpy>=1.26\nPillow>=10.1\nonnxruntime>=1.17\n"
MAX_EXAMPLES = 4  # pairs of pictures in the model card, for each direction


def write(folder: Path, directions: Sequence[Direction], config: dict[str, Any]) -> None:
    onnx_format.write(folder, directions, config)
    write_weights(folder / WEIGHTS, directions, config)
    pictures = {direction.name: write_examples(folder / "images", direction) for direction in directions}
    shutil.copy(PROGRAM, folder)
    atomic_write(folder / "requirements.txt", REQUIREMENTS)
    atomic_write(folder / "README.md", card.text(config, pictures))


def write_weights(path: Path, directions: Sequence[Direction], config: dict[str, Any]) -> None:
    """The state dicts of all generators in one file; each name begins with its direction."""
    from safetensors.torch import save_file

    tensors = {
        f"{direction.name}.{name}": _saved(tensor, direction.precision)
        for direction in directions
        for name, tensor in direction.source.network.state_dict().items()
    }
    save_file(tensors, path, metadata={"format": "pt", "name": config["name"]})


def _saved(tensor: Tensor, precision: str) -> Tensor:
    is_changed = precision == "fp16" and tensor.is_floating_point()
    return tensor.detach().to(torch.float16 if is_changed else tensor.dtype, copy=True).contiguous()


def write_examples(folder: Path, direction: Direction) -> list[str]:
    """Pictures of real images beside their translations; returns their paths relative to the exported folder.

    Class ids and images with other than 1 or 3 channels have no picture.
    """
    source, bits = direction.source, direction.bits
    paths = []
    for number, image in enumerate(direction.trial.images.examples[:MAX_EXAMPLES]):
        translation = stored(values_of(source, image, bits), bits)
        if source.classes or not {image.shape[-1], translation.shape[-1]} <= {1, 3}:
            break
        folder.mkdir(exist_ok=True)
        pair = [_picture(pixels[0], bits) for pixels in (image, translation)]
        path = folder / f"{direction.name}_{number + 1}.jpg"
        Image.fromarray(np.hstack(pair)).save(path, quality=92)
        paths.append(f"{folder.name}/{path.name}")
    return paths


def _picture(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Stored pixels (H, W, 1 or 3) as an 8-bit RGB picture."""
    eight = pixels if bits == 8 else np.round(pixels / 257).astype(np.uint8)
    return eight.repeat(3, axis=2) if eight.shape[2] == 1 else eight


HUB = Format("hub", ("onnx", "onnxruntime", "onnxscript", "safetensors"), write)
