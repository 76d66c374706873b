"""The evaluation that scripts/evaluate.py prints and writes as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.evaluation import systems
from scripts.evaluation.folders import list_named, require_common
from scripts.evaluation.scoring import VISUAL, Comparison, Difference, best_of, differences
from scripts.evaluation.systems import System
from util.errors import UserError
from util.evaluation.extractors import resolve
from util.evaluation.metric import Needs
from util.evaluation.results import as_json, print_figures
from util.evaluation.scores import Figure, Scores, text
from util.evaluation.selected import extractor_of, metrics_of
from util.files import atomic_write, json_text
from util.runs.base_run import BEST
from util.runtime.device import get_device

CHOSEN = "chosen on the test set, not comparable"
Evaluated = tuple[System, Scores, list[Figure]]


def evaluate(opt: argparse.Namespace) -> None:
    """Evaluate the subject, print its figures, and write --out. Raises UserError for a mistake in the options."""
    device = get_device(opt.device)
    found = _systems_of_run(opt) if systems.is_run(opt.subject) else [_folder(opt)]
    baseline = systems.of_folder(opt.baseline, "--baseline", opt.visual) if opt.baseline else None
    comparison = _comparison(opt, found[0])
    comparison.metrics = metrics_of(opt, extractor_of(opt, device))
    if opt.metrics:
        _report_uncomputed(comparison)
    if opt.extractor == "auto" and not opt.inception_weights and (note := resolve("auto", None).note):
        print(f"note: {note}", file=sys.stderr)
    if baseline is not None:
        require_common(found[0].images, baseline.images, f"--baseline {opt.baseline}")
        _report_unmatched(found[0], baseline.images, f"--baseline {opt.baseline}")
    print(f"{len(comparison.reals)} real images in {opt.reference}")
    evaluated = [_evaluated(comparison, system) for system in found]
    against = _evaluated(comparison, baseline) if baseline is not None else None
    chosen = _print_systems(evaluated, _are_chosen(opt))
    paired = []
    if against is not None:
        _print_block(against)
        paired = [differences(scores, against[1]) for _, scores, _ in evaluated]
        for (system, *_), rows in zip(evaluated, paired, strict=True):
            _print_differences(system, against[0], rows)
    if opt.out is not None:
        records = [_record(*item, rows) for item, rows in zip(evaluated, paired or [[]] * len(evaluated), strict=True)]
        if chosen is not None:
            records[chosen]["note"] = CHOSEN
        _write(opt, comparison, records, _record(*against, []) if against is not None else None)


def _folder(opt: argparse.Namespace) -> System:
    for option in ("direction", "epoch"):
        if getattr(opt, option) is not None:
            raise UserError(f"--{option} is for a run, but {opt.subject} has no options.json")
    return systems.of_folder(opt.subject, "the subject", opt.visual)


def _systems_of_run(opt: argparse.Namespace) -> list[System]:
    if opt.visual is not None and opt.baseline is None:
        raise UserError(f"--visual is for folders of images, but {opt.subject} is a run: use --direction")
    direction = systems.direction_of(opt.subject, opt.direction)
    epochs = systems.choose_epochs(opt.subject, opt.epoch)
    opt.source = opt.source or systems.source_folder(opt.subject, direction)
    if opt.source.resolve() == opt.reference.resolve():
        other = "AtoB" if direction == "BtoA" else "BtoA"
        raise UserError(
            f"the reference {opt.reference} is also the source of {direction}: choose real images of the target "
            f"domain, or add --direction {other}"
        )
    images = list_named(opt.source, "--source")
    return [systems.of_run(opt.subject, epoch, direction, images, opt.device) for epoch in epochs]


def _comparison(opt: argparse.Namespace, system: System) -> Comparison:
    """The images that the translations are compared with. Raises UserError if no names match."""
    comparison = Comparison([], list_named(opt.reference, "the reference"))
    if opt.pairs:
        comparison.truths = comparison.reals
        require_common(system.images, comparison.truths, "--pairs")
        _report_unmatched(system, comparison.truths, "--pairs")
    if opt.source is not None:
        comparison.sources = list_named(opt.source, "--source")
        require_common(system.images, comparison.sources, f"--source {opt.source}")
        _report_unmatched(system, comparison.sources, f"--source {opt.source}")
    return comparison


def _report_uncomputed(comparison: Comparison) -> None:
    """Note the metrics of --metrics that need images which no option gives."""
    options = {
        Needs.SOURCE: (comparison.sources, "the source images (--source FOLDER)"),
        Needs.PAIR: (comparison.truths, "ground truth (--pairs, if the reference has it under the same names)"),
    }
    for metric in comparison.metrics:
        images, missing = options.get(metric.needs, (True, ""))
        if not images:
            print(f"note: --metrics {metric.name} is not computed: it needs {missing}", file=sys.stderr)


def _report_unmatched(system: System, others: Mapping[str, Path], option: str) -> None:
    if missing := sorted(system.images.keys() - others.keys()):
        count = f"{len(missing)} of {len(system.images)} translations"
        print(f"note: {option} has no image for {count}, such as {missing[0]}", file=sys.stderr)


def _evaluated(comparison: Comparison, system: System) -> Evaluated:
    scores = comparison.score(system)
    return system, scores, scores.figures(intervals=True).get(VISUAL, [])


def _are_chosen(opt: argparse.Namespace) -> bool:
    """Whether the best of several checkpoints would be chosen by its test figures."""
    return opt.epoch is not None and (opt.epoch == ["all"] or not set(opt.epoch) <= {"latest", BEST})


def _print_systems(evaluated: Sequence[Evaluated], are_chosen: bool) -> int | None:
    """Print the figures, several checkpoints in one line each. The best one is marked, and its index returned."""
    if len(evaluated) == 1 or not are_chosen:
        for item in evaluated:
            _print_block(item)
        return None
    best, rule = best_of([figures for _, _, figures in evaluated])
    for i, (system, _, figures) in enumerate(evaluated):
        mark = f" <- {rule}: {CHOSEN}" if i == best else ""
        print(f"{system.name}: {text(figures)}{mark}")
    return best


def _print_block(evaluated: Evaluated) -> None:
    system, _, figures = evaluated
    print_figures({system.name: figures})


def _print_differences(system: System, baseline: System, rows: Sequence[Difference]) -> None:
    print(f"{system.short} minus {baseline.short}, on the images of both:")
    for row in rows:
        print(f"  {row.text()}, over {row.images} images")


def _record(system: System, scores: Scores, figures: Sequence[Figure], rows: Sequence[Difference]) -> dict[str, Any]:
    """A system in the JSON file: figures, intervals, counts, scores of images by name, files by name."""
    found = as_json(scores, {VISUAL: figures}, lambda name: name)
    record = {"name": system.name} | {key: value.get(VISUAL, {}) for key, value in found.items()}
    record["files"] = {name: str(system.images[name]) for name in sorted(scores.values[VISUAL])}
    if rows:
        record["differences"] = {
            row.metric.key: {"value": row.value, "images": row.images, "interval": row.interval} for row in rows
        }
    return record


def _write(
    opt: argparse.Namespace,
    comparison: Comparison,
    records: Sequence[Mapping[str, Any]],
    baseline: Mapping[str, Any] | None,
) -> None:
    content: dict[str, Any] = {
        "reference": str(opt.reference),
        "real_images": len(comparison.reals),
        "labels": {metric.key: metric.label for metric in comparison.metrics},
        "systems": records,
    }
    if baseline is not None:
        content["baseline"] = baseline
    content["skipped"] = comparison.skipped
    try:
        atomic_write(opt.out, json_text(content))
    except OSError as error:
        raise UserError(f"--out {opt.out} can't be written: {error.strerror}") from error
    print(f"wrote {opt.out}")
