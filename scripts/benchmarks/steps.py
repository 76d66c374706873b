"""Seconds and memory of a training step, and seconds of a generator alone, against the plain implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scripts.benchmarks.workers import Figures, Plan, name_of, seconds_in_alternation, workers


def measure_step(plan: Plan) -> Figures:
    """Seconds of a step; "ratio": speedup; "losses": largest relative difference of the losses of the first step."""
    figures: Figures = {}
    for size, batch, variants in plan.cases():
        jobs = {"plain": ("plain step", []), **_jobs("step", size, batch, variants)}
        with workers(plan, size, batch, jobs) as asked:
            first = {}
            for name, worker in asked.items():
                worker.ask("time")  # allocates, compiles
                first[name] = worker.ask("losses")
            seconds = seconds_in_alternation(asked, plan.repeats)
        for name, figure in compared(seconds).items():
            figures[name] = figure | {"losses": largest_difference(first["plain"], first[name])}
    return figures


def measure_forward(plan: Plan) -> Figures:
    """Seconds of a generator without gradients, for the largest image size."""
    size = max(plan.sizes)
    jobs = {"plain": ("plain forward", []), **_jobs("forward", size, 1, plan.variants_for(1))}
    with workers(plan, size, 1, jobs) as asked:
        for worker in asked.values():
            worker.ask("time")
        return compared(seconds_in_alternation(asked, plan.repeats))


def measure_memory(plan: Plan) -> Figures:
    """Peak megabytes of a step beyond weights, gradients and optimizer states."""
    figures: Figures = {}
    for size, batch, variants in plan.cases():
        megabytes = {}
        for name, job in {"plain": ("plain step", []), **_jobs("step", size, batch, variants)}.items():
            with workers(plan, size, batch, {name: job}) as asked:
                asked[name].ask("time")  # creates the optimizer states
                megabytes[name] = asked[name].ask("memory")["bytes"] / 1e6
        plain = megabytes.pop("plain")
        figures |= {name: {"plain": plain, "ours": ours, "ratio": ours / plain} for name, ours in megabytes.items()}
    return figures


def _jobs(job: str, size: int, batch: int, variants: Sequence[Sequence[str]]) -> dict[str, tuple[str, Sequence[str]]]:
    return {name_of(size, batch, flags): (job, flags) for flags in variants}


def compared(seconds: Mapping[str, float]) -> Figures:
    """Each time with that of "plain", and the speedup."""
    plain = seconds["plain"]
    ours = {name: value for name, value in seconds.items() if name != "plain"}
    return {name: {"plain": plain, "ours": value, "ratio": plain / value} for name, value in ours.items()}


def largest_difference(plain: Mapping[str, float], ours: Mapping[str, float]) -> float:
    """The largest relative difference between losses of the same name."""
    return max(abs(ours[name] - loss) / abs(loss) for name, loss in plain.items())
