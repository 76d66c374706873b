"""Validation during training: scores of held-out images every few epochs, the best checkpoint, and early stopping."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor

from util.evaluation.best import Rule, read
from util.evaluation.evaluator import Translator, evaluate
from util.evaluation.metric import Metric
from util.evaluation.scores import Descriptors, Figure
from util.files import json_sum
from util.runs.base_run import BaseRun
from util.runs.loss_log import Record
from util.runs.run import METRICS
from util.runtime.processes import processes
from util.runtime.stop_signal import StopSignal


class ValidatedModel(Translator, Protocol):
    """What validation needs of a model."""

    def validating(self) -> AbstractContextManager[None]: ...


class ValidationLoader(Protocol):
    """What validation needs of a loader."""

    dataset: Any
    print_message: Callable[[str], None]
    fingerprint: Mapping[str, Any]

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...


class ScoreReporter(Protocol):
    """Shows a record of scores."""

    def show_scores(self, record: Mapping[str, float], /) -> None: ...

    def show_validated(self, done: int, /) -> None: ...


class CountingSink:
    """Counts translations, and keeps none."""

    def __init__(self, report: Callable[[int], None] = lambda done: None) -> None:
        """`report` receives the number of images done."""
        self.report, self.done = report, 0
        self.problems: list[str] = []

    def add(self, path: str, images: Mapping[str, Tensor]) -> None:
        """Ignore a translation."""

    def refuse(self, problem: str) -> None:
        self.problems.append(problem)

    def advance(self, count: int) -> None:
        self.done += count
        self.report(self.done)

    def gather(self) -> None:
        """Collect nothing."""


class Validation:
    """Scores a model on validation images every --val_freq epochs, as `test.py --eval` would score its weight files.

    Weights, buffers and random states do not change. Every rank translates its share of the images, and all have the
    same records. Their log, metrics.jsonl, is part of the run's checkpoint; everything else follows from it.
    """

    def __init__(
        self,
        opt: argparse.Namespace,
        model: ValidatedModel,
        loader: ValidationLoader,
        metrics: Sequence[Metric],
        rule: Rule,
    ) -> None:
        """`rule`: its metric is one of `metrics`."""
        self.opt, self.model, self.loader, self.metrics, self.rule = opt, model, loader, metrics, rule
        self.records: list[Record] = []
        # A number for the validation images: scores of others do not compare. It is short enough for a float.
        self.validation_set = int(json_sum(loader.fingerprint)[:12], 16)
        self.reals: Descriptors = {}  # of real images, which are the same in every validation
        self.run: BaseRun
        self._best_epoch = 0  # the last one that was the best when it ended

    def attach(self, run: BaseRun) -> None:
        """Continue the records of a run that has restored its checkpoint."""
        self.run = run
        self.records = processes().broadcast([dict(record) for record in run.metrics_log.records])
        if self.records and not self._comparable():
            run.print_message(
                "note: the validation images are not those of the earlier validations: the best checkpoint is chosen "
                "anew"
            )
        self._end_if_stalled()

    def _comparable(self) -> list[Record]:
        """The records of the same validation images."""
        return [record for record in self.records if record.get("validation_set") == self.validation_set]

    def is_due(self) -> bool:
        """Whether to validate at the end of the current epoch: every --val_freq epochs, and after the last."""
        epoch = self.run.progress.epoch
        is_done = any(record["epoch"] == epoch for record in self.records)  # before the run was stopped and resumed
        return not is_done and (epoch % self.opt.val_freq == 0 or epoch == self.run.last_epoch)

    @property
    def is_best(self) -> bool:
        """Whether the validation of the current epoch had the best score so far."""
        return self._best_epoch == self.run.progress.epoch

    def validate(self, stop: StopSignal, reporter: ScoreReporter) -> bool:
        """Score the model at the end of an epoch, log and show the scores; `is_best` tells whether they are the best.

        Returns False if a stop was requested before the end; the resumed run then repeats the validation.
        """
        ranks = processes()
        if ranks.is_main:  # other ranks report the unreadable images of their share themselves
            self.loader.print_message = self.run.print_message
        sink = CountingSink(reporter.show_validated)
        with self.model.validating():
            evaluation = evaluate(self.model, self.loader, self.metrics, sink, stop, self.reals)
        if evaluation.interrupted:
            return False
        problems = [problem for found in ranks.all_gather_objects(sink.problems) for problem in found]
        figures = evaluation.scores.figures() if ranks.is_main else {}
        self.run.wait()  # until best.json is that of the weights on disk
        saved = read(self.run.folder) if ranks.is_main else {}
        record, saved = ranks.broadcast((self._record(figures, problems), saved))
        self.records.append(record)
        self._log(record)
        is_best = self.rule.is_better(record, saved)
        self._print(record, None if is_best else saved)
        if is_best:
            images = {name: found[0].images for name, found in figures.items()}
            details = {"images": images, "extractor": self.opt.extractor, "phase": self.loader.dataset.phase}
            details["val_fraction"] = self.opt.val_fraction
            self.run.progress.best = self.rule.as_json(record, self._comparable(), details)
            self._best_epoch = self.run.progress.epoch
        self._end_if_stalled()
        reporter.show_scores(record)
        self.run.progress.restart_clock()  # the seconds of a run are those of training
        return True

    def _record(self, figures: Mapping[str, Sequence[Figure]], problems: Sequence[str]) -> Record:
        """The figures by direction and label, without those that are not finite, and the mean that the rule uses.

        A figure that is not finite, or a translation that is not (`problems`), leaves no mean: those of the other
        images would not compare.
        """
        if problems:
            self.run.print_message(f"warning: validation: {len(problems)} translations not scored; {problems[0]}")
        progress = self.run.progress
        record: Record = {"epoch": progress.epoch, "step": progress.step, "images": progress.images}
        record["validation_set"] = self.validation_set
        values = []
        for visual, found in figures.items():
            for figure in found:
                if math.isfinite(figure.value):
                    record[f"{visual} {figure.metric.label}"] = figure.value
                values += [figure.value] if figure.metric.key == self.rule.metric.key else []
        is_scored = values and not problems and all(map(math.isfinite, values))
        return record | ({self.rule.key: math.fsum(values) / len(values)} if is_scored else {})

    def _print(self, record: Mapping[str, Any], saved: Mapping[str, Any] | None) -> None:
        """Print the mean of the rule. `saved`: the best.json of a better checkpoint."""
        if self.rule.key not in record:
            text = f"no {self.rule.key}: not all images could be scored"
        else:
            compared = f"best {saved['value']:.4g}, epoch {saved['epoch']}" if saved else "the best so far"
            text = f"{self.rule.key} {record[self.rule.key]:.4g} ({compared})"
        self.run.print_message(f"validation after epoch {record['epoch']}: {text}; all scores: {METRICS}")

    def _log(self, record: Record) -> None:
        try:
            self.run.metrics_log.append(record)
        except OSError as error:
            self.run.print_message(
                f"warning: can't write to {self.run.metrics_log.path} ({error}); the missing line will be written with "
                "the next one"
            )

    def _end_if_stalled(self) -> None:
        """With --early_stop, make the current epoch the last one after that many validations without a better score."""
        records = self._comparable()
        limit, without_gain = self.opt.early_stop, self.rule.validations_without_gain(records)
        if limit and without_gain >= limit and self.records[-1]["epoch"] < self.run.last_epoch:
            self.run.last_epoch = int(self.records[-1]["epoch"])
            best = self.rule.best(records)
            validations = "1 validation" if without_gain == 1 else f"{without_gain} validations"
            self.run.print_message(
                f"early stop after epoch {self.run.last_epoch}: {validations} without a "
                f"{'higher' if self.rule.metric.higher_is_better else 'lower'} {self.rule.key} than that of epoch "
                f"{best['epoch'] if best else 0}; to train longer, resume with --early_stop 0"
            )


class NoValidation:
    """The validation of a run without validation images."""

    records: Sequence[Record] = ()
    is_best = False

    def attach(self, run: BaseRun) -> None:
        """Take the records of a run that was validated before, to show them."""
        self.records = run.metrics_log.records
        if self.records:
            run.print_message("note: this run was validated so far, and is not from here on")

    def is_due(self) -> bool:
        """Never."""
        return False

    def validate(self, stop: StopSignal, reporter: ScoreReporter) -> bool:
        """Nothing to do."""
        return True
