"""Markdown tables of figures, and of goals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.benchmarks.workers import Figures


@dataclass
class Goal:
    """A ratio to the plain implementation that this project aims at."""

    title: str
    section: str
    row: str
    ratio: float
    at_most: bool = False


GOALS = [
    Goal("step at 256 px, batch 1", "step", "256 px", 1.6),
    Goal("step at 128 px, batch 1", "step", "128 px", 1.35),
    Goal("bf16 with graphs on a GPU, 256 px, batch 1, against plain bf16", "gpu", "256 px bf16 graph", 2),
    Goal("generator alone at 256 px", "forward", "256 px", 1.5),
    Goal("memory of a step at 256 px", "memory", "256 px", 0.42, at_most=True),
    Goal("the same with recomputation", "memory", "256 px --grad_checkpoint", 0.2, at_most=True),
    Goal("loader on one core, 286/256 px", "loader", "loader", 2),
    Goal("the same from a cache in memory", "loader", "loader, cache ram", 12),
    Goal("the same from a cache on disk", "loader", "loader, cache disk", 12),
    Goal("test.py, one direction, 256 px", "test", "test, one direction", 2.5),
    Goal("training loop against bare steps", "overheads", "epoch 200", 0.97),
]


def table(figures: Figures) -> str:
    """One line per row, with the columns of all rows."""
    columns = list(dict.fromkeys(column for row in figures.values() for column in row))
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, row in figures.items():
        cells = [number(row[column]) if column in row else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Three significant digits; integers from 100 on."""
    if value == 0 or 1e-3 <= abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.0e}"


def goals(sections: Mapping[str, Figures]) -> str:
    """A table of the goals that were measured; empty if there are none."""
    lines = ["| | goal | reached | |", "|---|---:|---:|---|"]
    for goal in GOALS:
        ratio = sections.get(goal.section, {}).get(goal.row, {}).get("ratio")
        if ratio is not None:
            reached = ratio <= goal.ratio if goal.at_most else ratio >= goal.ratio
            bound = f"at {'most' if goal.at_most else 'least'} {goal.ratio:g}"
            lines.append(f"| {goal.title} | {bound} | {number(ratio)} | {'yes' if reached else 'no'} |")
    return "\n".join(lines) if len(lines) > 2 else ""
