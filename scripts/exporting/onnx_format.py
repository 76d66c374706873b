"""--format onnx: one ONNX file for each direction, compared by ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.exporting.comparison import Comparison, Run
from scripts.exporting.graph import Translation, all_sizes, export_program, reason_of
from scripts.exporting.job import Direction, Format
from util.errors import UserError

OPSET = 18  # the version of the operators: the lowest that the exporter writes, so that most programs can read it
INPUT, OUTPUTS = "image", ["translation", "values"]
AXES = ("batch", "height", "width")


def write(folder: Path, directions: Sequence[Direction], config: dict[str, Any]) -> None:
    for direction in directions:
        comparison = write_file(folder / f"{direction.name}.onnx", direction, config)
        config["directions"][direction.name] |= {"file": f"{direction.name}.onnx", "comparison": comparison.record()}


def write_file(path: Path, direction: Direction, config: Mapping[str, Any]) -> Comparison:
    """Write one direction, with its metadata inside, and compare it with the network.

    Raises ExportFailed if it differs, and UserError if ONNX lacks one of the network's operations.
    """
    print(f"{path.name}: writing and comparing with the network", flush=True)
    program = export_program(Translation(direction.source, direction.bits, direction.precision))
    try:
        with all_sizes():
            torch.onnx.export(
                program, (), path, opset_version=OPSET, output_names=OUTPUTS, external_data=False, verbose=False
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise UserError(f"--netG {direction.source.opt.netG} can't be written as ONNX: {reason_of(error)}") from error
    facts = {key: value for key, value in config.items() if key != "directions"}
    name_axes(path, facts | {"direction": direction.name} | direction.describe())
    return direction.check(runner(path), path.name)


def name_axes(path: Path, facts: Mapping[str, Any]) -> None:
    """Give the axes of a file readable names, and store facts in its metadata, as text or JSON.

    What the exporter stores about the code on this machine is removed.
    """
    import onnx

    model = onnx.load(path)
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]  # shapes in between, by the axes' earlier names
    for node in model.graph.node:
        del node.metadata_props[:]  # paths of the code on this machine
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, AXES, strict=False):
            axis.dim_param = name
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    onnx.helper.set_model_props(model, texts)
    model.producer_name, model.doc_string = "", facts["description"]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def runner(path: Path) -> Run:
    """A function that translates with ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels, values = session.run(OUTPUTS, {INPUT: images})
        return pixels, values

    return run


ONNX = Format("onnx", ("onnx", "onnxruntime", "onnxscript"), write)
