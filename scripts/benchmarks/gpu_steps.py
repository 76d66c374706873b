"""Training steps on a GPU, by precision: each variant against the plain implementation in the same precision.

Each implementation is measured alone, in a process of its own, as several would not fit into the memory of the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scripts.benchmarks.report import number
from scripts.benchmarks.steps import largest_difference
from scripts.benchmarks.workers import Figures, Plan, Worker, WorkerFailed, name_of, workers

# Ways to launch the operations of a step; eager launches each of them from Python, one after another.
METHODS: dict[str, list[str]] = {
    "eager": ["--joint_passes", "off", "--cuda_graph", "off"],
    "joint": ["--joint_passes", "on", "--cuda_graph", "off"],
    "graph": ["--joint_passes", "on", "--cuda_graph", "on"],
    "compile": ["--joint_passes", "on", "--cuda_graph", "off", "--compile"],
}
PEAK = "convolution, forward and backward"


def measure_gpu(plan: Plan) -> Figures:
    """For every size, batch and precision: a row of the plain implementation, and a row of each method.

    Columns: "ms" of a step; "ratio": speedup against the plain step; "host ms": the time in which the host launches it;
    "kernels", and "busy ms" in which the GPU runs them; "GiB" that the process has reserved; "losses":
    largest relative difference of the losses of the first step from the plain ones; "roofline": the share of the step
    that its operations would take at the rate of a lone convolution of a residual block. A row has no
    figures if its step does not fit into the memory of the GPU.
    """
    figures: Figures = {}
    for size in plan.sizes:
        for batch in plan.batches:
            for precision in plan.precisions:
                figures |= _measure_precision(plan, size, batch, precision)
    return figures


def methods_of(plan: Plan) -> dict[str, Sequence[str]]:
    """The flags of each method by name: METHODS, or those of --flags."""
    if plan.variants is None:
        return dict(METHODS)
    return {" ".join(flags) or "defaults": flags for flags in plan.variants}


@dataclass
class Measured:
    """The figures of one implementation, and the losses of its first step."""

    row: dict[str, float]
    losses: dict[str, float]
    least: float = 0.0  # seconds of the operations of a step at the rate of convolutions; of the plain step only


def _measure_precision(plan: Plan, size: int, batch: int, precision: str) -> Figures:
    flags = ["--precision", precision]
    jobs = {"plain": ("plain step", flags)}
    jobs |= {name: ("step", [*flags, *method]) for name, method in methods_of(plan).items()}
    figures: Figures = {}
    plain: Measured | None = None
    for name, job in jobs.items():
        title = name_of(size, batch, [precision, name])
        try:
            with workers(plan, size, batch, {name: job}) as asked:
                measured = _measure(asked[name], plan.repeats, is_plain=name == "plain")
        except WorkerFailed as error:
            print(f"note: {title} has no figures: {error}", flush=True)
            figures[title] = {}
            continue
        plain = measured if name == "plain" else plain
        figures[title] = measured.row | (_compare(measured, plain) if plain else {})
        # At once, as the program may be killed before the table is complete.
        print(
            f"{title}: {', '.join(f'{column} {number(value)}' for column, value in figures[title].items())}", flush=True
        )
    return figures


def _measure(worker: Worker, repeats: int, *, is_plain: bool) -> Measured:
    losses = worker.ask("first losses")
    worker.ask("time")  # allocates, compiles, captures
    row = {"ms": 1e3 * median(worker.ask("time")["seconds"] for _ in range(repeats))}
    if launches := worker.ask("launches"):  # empty on a CPU
        row |= {"host ms": 1e3 * launches["host"], "busy ms": 1e3 * launches["busy"], "kernels": launches["kernels"]}
        row["GiB"] = launches["reserved"] / 2**30
    if not is_plain:
        return Measured(row, losses)
    return Measured(row, losses, worker.ask("flop")["flop"] / (worker.ask("peaks")[PEAK] * 1e9))


def _compare(measured: Measured, plain: Measured) -> dict[str, float]:
    """The columns that compare an implementation with the plain one, and with the peak rate."""
    return {
        "ratio": plain.row["ms"] / measured.row["ms"],
        "losses": largest_difference(plain.losses, measured.losses),
        "roofline": 1e3 * plain.least / measured.row["ms"],
    }
