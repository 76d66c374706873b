"""Roofline of a training step, and its time by kind of operator."""

from __future__ import annotations

from scripts.benchmarks.workers import Figures, Plan, name_of, seconds_in_alternation, workers


def measure_roofline(plan: Plan) -> Figures:
    """10^9 operations per second of matrix products, of convolutions, and of steps, and the steps' shares of these.

    The operations of every step are counted in the plain one. Winograd's algorithm needs fewer, so a step can exceed
    the peak rate of convolutions.
    """
    size = max(plan.sizes)
    with workers(plan, size, 1, {"plain step": ("plain step", []), "step": ("step", [])}) as asked:
        operations = asked["plain step"].ask("flop")["flop"] / 1e9
        asked["step"].ask("time")
        roofs = asked["plain step"].ask("peaks")
        seconds = seconds_in_alternation(asked, plan.repeats)
    figures: Figures = {name: {"GFLOP/s": rate} for name, rate in roofs.items()}
    for name, duration in seconds.items():
        rate = operations / duration
        shares = {f"of {roof}": rate / roofs[roof] for roof in ("matrix product", "convolution")}
        figures[f"{name}, {name_of(size)}"] = {"GFLOP": operations, "seconds": duration, "GFLOP/s": rate} | shares
    return figures


def measure_parts(plan: Plan) -> Figures:
    """Seconds of each kind of operator in a step, the longest first."""
    size = max(plan.sizes)
    with workers(plan, size, 1, {"step": ("step", [])}) as asked:
        asked["step"].ask("time")
        seconds = asked["step"].ask("profile")
    total = sum(seconds.values())
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return {kind: {"seconds": duration, "share": duration / total} for kind, duration in ordered}
