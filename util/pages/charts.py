"""Loss curves as SVG pictures, light or dark as the reader's system is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from dominate import svg, tags
from dominate.util import raw

NOT_CURVES = frozenset({"epoch", "step", "images", "seconds"})
TOGETHER = frozenset({"A", "B", "real", "fake"})
"""Losses that differ only in these endings share a picture: D_A and D_B, D_real and D_fake."""
MEANINGS = {
    "D": "discriminator",
    "G": "generator",
    "color": "colors not kept",
    "cycle": "cycle consistency",
    "idt": "identity",
    "lr": "learning rate",
}
MOST_RECORDS = 10_000
"""Of more records every second, third ... is drawn, so that the cost of drawing has a bound."""
MOST_POINTS = 1000
WIDTH, HEIGHT = 240, 180
LEFT, RIGHT, TOP, BOTTOM = 46, 228, 50, 146
# Okabe and Ito's colours, told apart with any kind of colour vision; brighter ones on dark. Lines keep their
# width, and letters grow less than the picture, where it is enlarged.
STYLE = """
svg{--ground:#fff;--text:#1d1d20;--muted:#66666e;--line:#e8e8ec;--0:#0072b2;--1:#d55e00;--2:#009e73;--3:#cc79a7}
@media (prefers-color-scheme:dark){svg{--ground:#1d1d20;--text:#ededf0;--muted:#9c9ca6;--line:#303036;
--0:#56b4e9;--1:#e69f00;--2:#2fc79a;--3:#e0a3c6}}
text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;fill:var(--muted)}
.title{font-size:13px;font-weight:600;fill:var(--text)}
.grid{stroke:var(--line)}
path,.grid{vector-effect:non-scaling-stroke}
path{fill:none;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
.raw{stroke-width:1;opacity:.3}
@media (min-width:500px){text{font-size:5px}.title{font-size:6px}}
"""


@dataclass(frozen=True)
class Curve:
    """One loss over the epochs, as measured and smoothed; values that are no finite numbers are left out."""

    name: str
    x: np.ndarray
    values: np.ndarray
    smooth: np.ndarray


@dataclass(frozen=True)
class Axis:
    """A range of values laid on pixels."""

    low: float
    high: float
    start: float
    stop: float

    def pixel(self, value: np.ndarray | float) -> np.ndarray:
        """Values outside the range go outside by one range at most: drawing programs dislike huge numbers."""
        share = (np.asarray(value) - self.low) / (self.high - self.low)
        return self.start + np.clip(share, -1, 2) * (self.stop - self.start)


def draw_loss_curves(records: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """SVG pictures by what they show: each kind of loss (D, G, cycle, idt ...), the learning rate last.

    Args:
        records: lines of losses.jsonl in the order of training: epoch (from 1) and one value for each loss.
    """
    stride = len(records) // MOST_RECORDS + 1
    epochs, lines = _epochs(records)[::stride], records[::stride]
    names = list(dict.fromkeys(name for line in lines for name in line if name not in NOT_CURVES))
    names.sort(key=lambda name: name == "lr")
    panels: dict[str, list[Curve]] = {}
    for name in names:
        panels.setdefault(_panel(name), []).append(_curve(name, epochs, lines))
    return {panel: _draw(panel, curves) for panel, curves in panels.items()}


def _panel(name: str) -> str:
    """The picture that a loss is drawn in."""
    kind, _, series = name.rpartition("_")
    return kind if kind and series in TOGETHER else name


def _epochs(records: Sequence[Mapping[str, float]]) -> np.ndarray:
    """Where on the axis records lie: spread evenly over their epoch, the last one at the epoch's number."""
    epochs = np.array([record["epoch"] for record in records], dtype=float)
    starts = np.searchsorted(epochs, epochs)
    most = np.bincount(starts).max(initial=1)
    return epochs - 1 + (np.arange(len(epochs)) - starts + 1) / most


def _curve(name: str, epochs: np.ndarray, lines: Sequence[Mapping[str, float]]) -> Curve:
    values = np.array([line.get(name) for line in lines], dtype=float)  # None becomes NaN
    finite = np.isfinite(values)
    x, values = epochs[finite], values[finite]
    window = 1 if name == "lr" else len(values) // 50 * 2 + 1
    return Curve(name, x, values, running_mean(values, window))


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of `window` values around each one, of fewer at both ends. The window is odd."""
    if window == 1:
        return values
    box = np.ones(window)
    return np.convolve(values, box, "same") / np.convolve(np.ones(len(values)), box, "same")


def _draw(panel: str, curves: Sequence[Curve]) -> str:
    """One picture: axes, then for each curve its measured line, faint, and its smoothed one."""
    x_axis, y_axis = _axes(curves)
    frame = svg.rect(x=LEFT, y=TOP - 4, width=RIGHT - LEFT, height=BOTTOM - TOP + 8)
    drawing = svg.svg(
        tags.style(raw(STYLE)),
        svg.rect(width="100%", height="100%", fill="var(--ground)"),
        svg.text(panel, svg.tspan(f" {MEANINGS.get(panel, '')}", font_weight="400"), x=2, y=16, cls="title"),
        svg.clipPath(frame, id="frame"),
        _grid(x_axis, y_axis),
        _legend(curves),
        svg.g(_lines(curves, x_axis, y_axis), clip_path="url(#frame)"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
    )
    return str(drawing.render(pretty=False))


def _axes(curves: Sequence[Curve]) -> tuple[Axis, Axis]:
    """Ranges that show the curves; of many values the outermost hundredth may lie outside."""
    x = np.concatenate([curve.x for curve in curves])
    y = np.concatenate([curve.values for curve in curves])
    left, right = (math.floor(x.min()), x.max()) if len(x) else (0, 1)
    bottom, top = np.percentile(y, (0.5, 99.5) if len(y) > 200 else (0, 100)) if len(y) else (0, 1)
    if 0 <= bottom < top / 2:
        bottom = 0.0
    margin = 0.05 * (top - bottom) or 0.1 * abs(top) or 1.0
    if bottom != 0:
        bottom -= margin
    return Axis(left, max(right, left + 1e-9), LEFT, RIGHT), Axis(bottom, top + margin, BOTTOM, TOP)


def _grid(x_axis: Axis, y_axis: Axis) -> svg.g:
    grid = svg.g()
    for value in nice_ticks(y_axis.low, y_axis.high, 4):
        y = f"{y_axis.pixel(value):.1f}"
        grid.add(svg.line(x1=LEFT, x2=RIGHT, y1=y, y2=y, cls="grid"))
        grid.add(svg.text(tick_label(value), x=LEFT - 6, y=y, dy="0.35em", text_anchor="end"))
    for value in nice_ticks(x_axis.low, x_axis.high, 5):
        grid.add(svg.text(tick_label(value), x=f"{x_axis.pixel(value):.1f}", y=BOTTOM + 17, text_anchor="middle"))
    grid.add(svg.text("epoch", x=RIGHT, y=HEIGHT - 4, text_anchor="end"))
    return grid


def _legend(curves: Sequence[Curve]) -> svg.text:
    """Each loss in its colour with its latest smoothed value."""
    legend = svg.text(x=2, y=34)
    for index, curve in enumerate(curves):
        latest = f"{curve.smooth[-1]:.3g}" if len(curve.smooth) else "no finite value"
        legend.add(svg.tspan("● ", fill=f"var(--{index})"), svg.tspan(curve.name, fill="var(--text)"))
        legend.add(f" {latest}\u2003")
    return legend


def _lines(curves: Sequence[Curve], x_axis: Axis, y_axis: Axis) -> Iterator[svg.path]:
    for index, curve in enumerate(curves):
        colour = f"var(--{index})"
        if curve.smooth is not curve.values:
            points = thin(curve.x, curve.values, MOST_POINTS)
            yield svg.path(d=_way(*points, x_axis, y_axis), stroke=colour, cls="raw")
        yield svg.path(d=_way(*thin(curve.x, curve.smooth, MOST_POINTS), x_axis, y_axis), stroke=colour)


def _way(x: np.ndarray, y: np.ndarray, x_axis: Axis, y_axis: Axis) -> str:
    """The `d` of a path through points; a single point becomes a dot by the line's round ends."""
    points = [f"{left:.1f} {top:.1f}" for left, top in zip(x_axis.pixel(x), y_axis.pixel(y), strict=True)]
    return "M" + "L".join(points if len(points) > 1 else points * 2) if points else ""


def thin(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points that keep every spike: of each stretch of points the lowest and the highest."""
    if len(x) <= most:
        return x, y
    starts = np.linspace(0, len(x), most // 2, endpoint=False).astype(int)
    extremes = np.stack([np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)], axis=1)
    return np.repeat(x[starts], 2), extremes.reshape(-1)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within a range, about `count` of them."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def tick_label(value: float) -> str:
    """A tick's number, short and without the noise of floating point: 0.25, 30, 1.5e-4."""
    if value == 0 or 1e-3 < abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
