"""Images per second, memory and accuracy of a generator on a CPU, with several engines."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from models.networks.generators import create_generator
from models.networks.layers import initialize
from scripts import export
from scripts.benchmarks.inference_worker import ENGINES
from scripts.benchmarks.workers import Figures, Plan, Worker, seconds_in_alternation
from util.runs.weights import save_weights

REFERENCE = "eager, direct convolution"  # float32


def measure_inference(plan: Plan) -> Figures:
    """Of each size and engine: images per second, the process's peak megabytes, and the largest and the 99.9% quantile
    of the differences, for values in [-1, 1], from the network in float32 with direct convolution.
    """
    if plan.device != "cpu":
        print("note: the section inference measures CPUs: use --device cpu")
        return {}
    figures: Figures = {}
    network = network_of(plan)
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, network, plan.inference_sizes)
        for size in plan.inference_sizes:
            figures |= _measure_size(folder, network, size, plan.repeats)
    return figures


def network_of(plan: Plan) -> dict[str, Any]:
    """The arguments of the generator: those of the plan's network flags, or ResNet-9 with 64 filters."""
    flags = dict(zip(plan.networks[::2], plan.networks[1::2], strict=True))
    return {"netG": flags.get("--netG", "resnet_9blocks"), "ngf": int(flags.get("--ngf", 64))}


def as_options(network: dict[str, Any]) -> list[str]:
    """The arguments of a generator as NAME=VALUE."""
    return [f"{name}={value}" for name, value in (network | {"no_dropout": True}).items()]


def prepare(folder: Path, network: dict[str, Any], sizes: Sequence[int]) -> None:
    """Write weights, their export, and an image of each size into a folder, as inference_worker.py reads them."""
    torch.manual_seed(1)
    generator = create_generator(**network, input_nc=3, output_nc=3)
    initialize(generator, init_gain=0.1)
    (folder / "run").mkdir()
    save_weights({folder / "run" / "latest_net_G.pth": generator})
    out = ["--out", str(folder / "exported")]
    export.export(export.parse_arguments([str(folder / "run"), *out, "--options", *as_options(network)]))
    random = np.random.default_rng(1)
    for size in sizes:
        np.save(folder / f"{size}.npy", random.integers(0, 256, (1, size, size, 3), dtype=np.uint8))


def _measure_size(folder: Path, network: dict[str, Any], size: int, repeats: int) -> Figures:
    with ExitStack() as stack:
        asked: dict[str, Worker] = {}
        for engine in available():
            asked[engine] = Worker(engine, [str(folder), str(size), *as_options(network)], script="inference_worker.py")
            stack.callback(asked[engine].close)
            asked[engine].ask("output")  # allocates, compiles
        seconds = seconds_in_alternation(asked, repeats)
        peaks = {engine: worker.ask("peak")["bytes"] for engine, worker in asked.items()}
    outputs = {engine: np.load(folder / f"{size} {engine}.npy") for engine in asked}
    figures = {}
    for engine, output in outputs.items():
        differences = np.abs(output.astype(np.float64) - outputs[REFERENCE])
        figures[f"{size} px {engine}"] = {
            "images/s": 1 / seconds[engine],
            "MB": peaks[engine] / 1e6,
            "max difference": float(differences.max()),
            "99.9% within": float(np.quantile(differences, 0.999)),
        }
    return figures


def available() -> list[str]:
    """The engines that this machine has; prints a note on each that is missing."""
    has_compiler = any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    missing = {
        "torch.compile": "" if has_compiler else "a C++ compiler",
        "OpenVINO": "" if importlib.util.find_spec("openvino") else "pip install openvino",
    }
    for engine, needed in missing.items():
        if needed:
            print(f"note: {engine} is not measured, since it needs {needed}")
    return [engine for engine in ENGINES if not missing.get(engine)]
