"""How much of what the machine can do a step does, and where its time goes."""

from __future__ import annotations

from scripts.benchmarks.workers import Figures, Plan, name_of, seconds_in_alternation, workers


def measure_roofline(plan: Plan) -> Figures:
    """10^9 operations a second of the machine's products and convolutions, and of steps, as shares of these.

    A step's operations are those of the plain one, whatever way they are done: with fewer multiplications a step may
    be above the roof.
    """
    size = max(plan.sizes)
    with workers(plan, size, 1, {"plain step": ("plain step", []), "step": ("step", [])}) as asked:
        operations = asked["plain step"].ask("flop")["flop"] / 1e9
        asked["step"].ask("time")
        roofs = asked["plain step"].ask("peaks")
        seconds = seconds_in_alternation(asked, plan.repeats)
    figures: Figures = {name: {"GFLOP/s": rate} for name, rate in roofs.items()}
    for name, taken in seconds.items():
        rate = operations / taken
        shares = {f"of {roof}": rate / roofs[roof] for roof in ("matrix product", "convolution")}
        figures[f"{name}, {name_of(size)}"] = {"GFLOP": operations, "seconds": taken, "GFLOP/s": rate} | shares
    return figures


def measure_parts(plan: Plan) -> Figures:
    """Seconds that kinds of operators take in a step, the longest first."""
    size = max(plan.sizes)
    with workers(plan, size, 1, {"step": ("step", [])}) as asked:
        asked["step"].ask("time")
        seconds = asked["step"].ask("profile")
    total = sum(seconds.values())
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return {kind: {"seconds": taken, "share": taken / total} for kind, taken in ordered}
