"""Load a translation exported with torch.export. Needs torch alone, 2.9 or newer."""

from collections.abc import Callable

import torch


def load(file: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from images (N, H, W, C), with the numbers that config.json describes, to their translations."""
    program = torch.export.load(file).module()
    return torch.inference_mode()(lambda images: program(images)[0])
