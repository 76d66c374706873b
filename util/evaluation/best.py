"""The best checkpoint of a run, by a stated rule: best_net_*.pth and best.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from util.evaluation.metric import Metric
from util.runs.base_run import BEST, BEST_FILE, STATE

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """The best checkpoint has the best mean of a metric over all directions, on the validation images."""

    metric: Metric

    @property
    def key(self) -> str:
        """The key of the mean in the records of metrics.jsonl."""
        label = self.metric.label
        return label if label.startswith("mean ") else f"mean {label}"

    def best(self, records: Sequence[Record]) -> Record | None:
        """The first of the records with the best mean; None if no record has one."""
        found: Record | None = None
        for record in records:
            if self.key in record and (found is None or self.metric.is_better(record[self.key], found[self.key])):
                found = record
        return found

    def is_better(self, record: Record, saved: Record) -> bool:
        """Whether a record is better than the saved checkpoint, given its best.json, or not comparable with it."""
        is_comparable = (saved.get("rule"), saved.get("validation_set")) == (self.describe(), record["validation_set"])
        if self.key not in record or not is_comparable:
            return self.key in record
        return self.metric.is_better(record[self.key], saved["value"])

    def validations_without_gain(self, records: Sequence[Record]) -> int:
        """The number of validations after the best one."""
        scored = [record for record in records if self.key in record]
        best = self.best(scored)
        return sum(record["epoch"] > best["epoch"] for record in scored) if best else 0

    def describe(self) -> str:
        """The rule as text."""
        return f"{'highest' if self.metric.higher_is_better else 'lowest'} {self.key} over all directions"

    def as_json(self, record: Record, records: Sequence[Record], details: Mapping[str, Any]) -> str:
        """The content of best.json for the best of the records. `details` describe the validation images."""
        content = {
            "epoch": record["epoch"],
            "step": record["step"],
            "rule": self.describe(),
            "metric": self.metric.label,
            "value": record[self.key],
            "validation_set": record["validation_set"],
            "validations": sum(self.key in other and other["epoch"] <= record["epoch"] for other in records),
            **details,
        }
        return json.dumps(content, indent=2) + "\n"


def read(folder: Path) -> dict[str, Any]:
    """The best.json in a run's folder; empty if it is missing or damaged."""
    try:
        content = json.loads((folder / BEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def describe_checkpoint(folder: Path, epoch: str, phase: str | None = None) -> str:
    """Describe the checkpoint `--epoch EPOCH` of a run and how it was chosen, in a few words.

    `phase`: that of the images it is tested on, which may be the ones it was chosen on.
    """
    content = read(folder) if epoch == BEST else {}
    if content:
        value = f"{content.get('value'):.4g}" if isinstance(content.get("value"), int | float) else "unknown"
        rule = f"{content.get('rule')} ({value})"
        is_same = phase is not None and phase == content.get("phase")
        warning = "; tested on the images that it was chosen on, not comparable" if is_same else ""
        return f"best checkpoint (epoch {content.get('epoch')}), chosen on validation images: {rule}{warning}"
    number = last_epoch(folder) if epoch == "latest" else None
    last = f"last checkpoint (epoch {number})" if number else "last checkpoint"
    return {BEST: "best checkpoint, chosen by an unknown rule", "latest": last}.get(
        epoch, f"checkpoint of epoch {epoch}"
    )


def last_epoch(folder: Path) -> int | None:
    """The epoch of a run's latest weights, complete or not; None if the run has no readable state."""
    try:
        # mmap: only the counters are read, not the weights.
        content = torch.load(folder / STATE, map_location="cpu", weights_only=True, mmap=True)
        progress = content["objects"]["progress"]
        return max(1, int(progress["epoch"]) - (int(progress["images_in_epoch"]) == 0))
    except Exception:  # a file that is damaged in any way: a description does not need it
        return None
