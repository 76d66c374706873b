"""Curves of losses and scores as SVG pictures, which follow the light or dark mode of the reader's system."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from dominate import svg, tags
from dominate.util import raw

NOT_CURVES = frozenset({"epoch", "step", "images", "seconds"})
PAIRED_ENDINGS = frozenset({"A", "B", "real", "fake"})
"""Losses whose names differ only in these endings share a panel: D_A and D_B, D_real and D_fake."""
MEANINGS = {
    "D": "discriminator",
    "G": "generator",
    "color": "colors not kept",
    "cycle": "cycle consistency",
    "idt": "identity",
    "lr": "learning rate",
}
MOST_RECORDS = 10_000
"""With more records only every second, third ... is drawn, which bounds the cost."""
MOST_POINTS = 1000
WIDTH, HEIGHT = 240, 180
LEFT, RIGHT, TOP, BOTTOM = 46, 228, 50, 146
# Okabe and Ito's palette for all kinds of color vision, brighter on dark. In an enlarged picture, lines keep their
# width, and text grows less than the picture.
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
    """One loss or score over the epochs, measured and smoothed, without non-finite values."""

    name: str
    x: np.ndarray
    values: np.ndarray
    smooth: np.ndarray


@dataclass(frozen=True)
class Axis:
    """A linear map from a range of values to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def pixel(self, value: np.ndarray | float) -> np.ndarray:
        """The position of a value, clipped to one range outside the axis: some renderers fail on huge numbers."""
        relative = (np.asarray(value) - self.low) / (self.high - self.low)
        return self.start + np.clip(relative, -1, 2) * (self.stop - self.start)


def draw_loss_curves(records: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """SVG pictures by panel: each kind of loss (D, G, cycle, idt ...), then the learning rate.

    Args:
        records: lines of losses.jsonl in training order, with epoch (from 1) and a value for each loss.
    """
    stride = len(records) // MOST_RECORDS + 1
    epochs, lines = _epochs(records)[::stride], records[::stride]
    names = list(dict.fromkeys(name for line in lines for name in line if name not in NOT_CURVES))
    names.sort(key=lambda name: name == "lr")
    panels: dict[str, list[Curve]] = {}
    for name in names:
        panels.setdefault(_panel(name), []).append(_curve(name, epochs, lines))
    return {panel: _draw(panel, curves) for panel, curves in panels.items()}


def draw_score_curves(records: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """SVG pictures by panel: each metric, with a curve for each direction (fake_A, fake_B).

    Args:
        records: lines of metrics.jsonl in training order, with epoch and figures by direction and metric.
    """
    epochs = np.array([record["epoch"] for record in records], dtype=float)
    panels: dict[str, list[Curve]] = {}
    for name in dict.fromkeys(name for record in records for name in record):
        visual, _, metric = name.partition(" ")
        if metric and visual.startswith("fake"):
            curve = _curve(name, epochs, records, smoothed=False)
            panels.setdefault(metric, []).append(replace(curve, name=visual))
    return {panel: _draw(panel, curves) for panel, curves in panels.items()}


def _panel(name: str) -> str:
    """The panel of a loss."""
    kind, _, series = name.rpartition("_")
    return kind if kind and series in PAIRED_ENDINGS else name


def _epochs(records: Sequence[Mapping[str, float]]) -> np.ndarray:
    """The x positions of records: evenly spaced within their epoch, the last one at the epoch's number."""
    epochs = np.array([record["epoch"] for record in records], dtype=float)
    starts = np.searchsorted(epochs, epochs)
    most = np.bincount(starts).max(initial=1)
    return epochs - 1 + (np.arange(len(epochs)) - starts + 1) / most


def _curve(name: str, epochs: np.ndarray, lines: Sequence[Mapping[str, float]], smoothed: bool = True) -> Curve:
    values = np.array([line.get(name) for line in lines], dtype=float)  # None becomes NaN
    finite = np.isfinite(values)
    x, values = epochs[finite], values[finite]
    window = 1 if name == "lr" or not smoothed else len(values) // 50 * 2 + 1
    return Curve(name, x, values, running_mean(values, window))


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The centered moving average over `window` values (odd), over fewer at both ends."""
    if window == 1:
        return values
    box = np.ones(window)
    return np.convolve(values, box, "same") / np.convolve(np.ones(len(values)), box, "same")


def _draw(panel: str, curves: Sequence[Curve]) -> str:
    """One panel: axes, then for each curve the measured line, faint, and the smoothed one."""
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
    """Axes that show the curves; if there are many values, up to 1% of them may be outside."""
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
    """Each loss in its color with its latest smoothed value."""
    legend = svg.text(x=2, y=34)
    for index, curve in enumerate(curves):
        latest = _short(curve.smooth[-1]) if len(curve.smooth) else "no finite value"
        legend.add(svg.tspan("● ", fill=f"var(--{index})"), svg.tspan(curve.name, fill="var(--text)"))
        legend.add(f" {latest}\u2003")
    return legend


def _lines(curves: Sequence[Curve], x_axis: Axis, y_axis: Axis) -> Iterator[svg.path]:
    for index, curve in enumerate(curves):
        color = f"var(--{index})"
        if curve.smooth is not curve.values:
            points = thin(curve.x, curve.values, MOST_POINTS)
            yield svg.path(d=_path_data(*points, x_axis, y_axis), stroke=color, cls="raw")
        yield svg.path(d=_path_data(*thin(curve.x, curve.smooth, MOST_POINTS), x_axis, y_axis), stroke=color)


def _path_data(x: np.ndarray, y: np.ndarray, x_axis: Axis, y_axis: Axis) -> str:
    """The `d` attribute of a path through points; a single point becomes a dot, drawn by the round line caps."""
    points = [f"{left:.1f} {top:.1f}" for left, top in zip(x_axis.pixel(x), y_axis.pixel(y), strict=True)]
    return "M" + "L".join(points if len(points) > 1 else points * 2) if points else ""


def thin(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points, with every spike: the minimum and the maximum of each interval."""
    if len(x) <= most:
        return x, y
    starts = np.linspace(0, len(x), most // 2, endpoint=False).astype(int)
    extremes = np.stack([np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)], axis=1)
    return np.repeat(x[starts], 2), extremes.reshape(-1)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` multiples of 1, 2 or 5 times a power of ten within a range."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(value: float) -> str:
    """Three digits, or four of a number of thousands."""
    return f"{value:.0f}" if 1000 <= abs(value) < 10_000 else f"{value:.3g}"


def tick_label(value: float) -> str:
    """The label of a tick, short and without floating-point noise: 0.25, 30, 1.5e-4."""
    if value == 0 or 1e-3 < abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
