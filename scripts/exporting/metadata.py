"""What is known about an exported run, for config.json, for the metadata of ONNX files and for model cards."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from options import files
from options.recorded import descriptive_options
from scripts.exporting.job import Direction
from util.errors import UserError
from util.runs.provenance import provenance

NO_LICENSE = (
    "not stated. The code that made this file is under the MIT license; the license of the weights depends on the "
    "training images"
)


@dataclass(frozen=True)
class Texts:
    """What only the user knows."""

    license: str | None
    results: Path
    """The folder of test.py's results, which holds the scores."""


def describe_run(folder: Path, epoch: str, directions: Sequence[Direction], texts: Texts) -> dict[str, Any]:
    """The configuration of an export. Raises UserError for a damaged options.json."""
    first = directions[0].source
    record = files.read_record(folder) or {"options": vars(first.opt), "run": {}}
    names = " and ".join(direction.name for direction in directions)
    return {
        "name": first.opt.name,
        "description": f"Image-to-image translation, {names}: {first.opt.name}, {first.opt.model}",
        "model": record["options"].get("model", first.opt.model),
        "epoch": epoch,
        "checkpoint": read_choice(folder, epoch),
        "precision": directions[0].precision,
        "value_range": "stored numbers; inside, images are in [-1, 1]",
        "directions": {direction.name: direction.describe() for direction in directions},
        "options": descriptive_options(record["options"]),
        "dataset": {"images": record["run"].get("dataset", {}), "name": dataset_name(record["run"])},
        "scores": read_scores(texts.results / first.opt.name, epoch),
        "license": texts.license or NO_LICENSE,
        "versions": provenance()["versions"],
    }


def dataset_name(run: Mapping[str, Any]) -> str:
    """The name of the dataset's folder, without the path to it."""
    return re.split(r"[/\\]", str(run.get("dataroot") or "").rstrip("/\\"))[-1] or "unknown"


def read_choice(folder: Path, epoch: str) -> dict[str, Any]:
    """How the checkpoint was chosen: the content of best.json for the epoch "best"."""
    if epoch != "best":
        return {"rule": "the last one of the training" if epoch == "latest" else "chosen by its number"}
    path = folder / "best.json"
    return _public(_read(path)) if path.is_file() else {"rule": "unknown: best.json is missing"}


def read_scores(results: Path, epoch: str) -> dict[str, Any]:
    """The content of metrics.json of a test of this epoch, without single images; {} if there is none."""
    path = results / f"test_{epoch}" / "metrics.json"
    record = _read(path) if path.is_file() else {}
    record.pop("images", None)  # names of files can be those of patients
    return _public(record)


def _public(record: dict[str, Any]) -> dict[str, Any]:
    """A record without texts that may be paths, and without lists of more than two values, as of single images."""

    def is_public(value: Any) -> bool:
        if isinstance(value, str):
            return "/" not in value and "\\" not in value
        return not isinstance(value, list) or len(value) <= 2

    found = {name: value for name, value in record.items() if is_public(value) and is_public(name)}
    return {name: _public(value) if isinstance(value, dict) else value for name, value in found.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: delete it or restore it") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} can't be read: delete it or restore it")
    return content
