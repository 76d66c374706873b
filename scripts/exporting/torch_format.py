"""--format torch: a program of torch.export for each direction, which needs torch alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.exporting.comparison import Run
from scripts.exporting.graph import Translation, all_sizes, export_program
from scripts.exporting.job import Direction, Format

LOADER = Path(__file__).parent / "standalone" / "load.py"


def write(folder: Path, directions: Sequence[Direction], config: dict[str, Any]) -> None:
    shutil.copy(LOADER, folder)
    for direction in directions:
        path = folder / f"{direction.name}.pt2"
        print(f"{path.name}: writing and comparing with the network", flush=True)
        program = export_program(Translation(direction.source, direction.bits, direction.precision))
        with all_sizes():
            torch.export.save(program, path)
        comparison = direction.check(runner(path), path.name)
        config["directions"][direction.name] |= {"file": path.name, "comparison": comparison.record()}


def runner(path: Path) -> Run:
    """A function that translates with the program in a file."""
    with all_sizes():
        module = torch.export.load(path).module()

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            pixels, values = module(torch.from_numpy(np.ascontiguousarray(images)))
        return pixels.numpy(), values.numpy()

    return run


TORCH = Format("torch", (), write)
