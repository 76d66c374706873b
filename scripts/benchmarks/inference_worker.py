"""A process that translates one image with one engine, for each line on its standard input.

    inference_worker.py ENGINE FOLDER SIZE NAME=VALUE...

FOLDER holds `run` (weights), `exported` (ONNX) and `<SIZE>.npy`, an image (1, H, W, 3); NAME=VALUE are options of the
network. Answers `time` with the seconds of one run, `peak` with the largest memory of the process in bytes, and
`output` by writing `<SIZE> ENGINE.npy`. Engines without torch do not import it, so that it is not in their memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from util.errors import run_main

Run = Callable[[np.ndarray], np.ndarray]
"""From an image (1, H, W, 3) of uint8 to its translation before rounding, in [-1, 1]."""


def eager(folder: Path, options: dict[str, Any], conv: str = "auto", compiled: bool = False) -> Run:
    """The network as load_generator runs it."""
    import torch

    from models.networks.convolutions import set_conv_algorithm
    from scripts.exporting.comparison import values_of
    from scripts.exporting.source import load_sources

    (source,) = load_sources(folder / "run", "latest", None, "running", options)
    set_conv_algorithm(source.network, conv)
    if compiled:
        source.network.forward = torch.compile(source.network.forward)
    return lambda image: values_of(source, image, 8)


def onnx_runtime(folder: Path, options: dict[str, Any]) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads()
    path = str(folder / "exported" / "AtoB.onnx")
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run(["values"], {"image": image})[0])


def openvino(folder: Path, options: dict[str, Any]) -> Run:
    import openvino as ov

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads()}
    model = ov.Core().compile_model(folder / "exported" / "AtoB.onnx", "CPU", settings)
    return lambda image: np.asarray(model(image)["values"])


def threads() -> int:
    """As many as torch would use."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


ENGINES: dict[str, Callable[[Path, dict[str, Any]], Run]] = {
    "eager": eager,
    "eager, direct convolution": lambda folder, options: eager(folder, options, conv="direct"),
    "torch.compile": lambda folder, options: eager(folder, options, conv="direct", compiled=True),
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
}


def peak_bytes() -> int:
    """The largest resident memory of this process so far."""
    try:  # on Linux, getrusage would include the parent before it started this program
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other output must not mix with the answers
    engine, folder, size, *settings = sys.argv[1:]
    from scripts.export import read_options

    run = ENGINES[engine](Path(folder), read_options(settings))
    image = np.load(Path(folder) / f"{size}.npy")
    for line in sys.stdin:
        command, answer = line.strip(), {}
        start = time.perf_counter()
        if command == "peak":
            answer = {"bytes": float(peak_bytes())}
        else:
            output = run(image)
            answer = {"seconds": time.perf_counter() - start}
            if command == "output":
                np.save(Path(folder) / f"{size} {engine}.npy", output)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    run_main(main)
