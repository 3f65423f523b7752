# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A picture of writes over time as one SVG file: rates, steps and the gaps in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 1000
LEFT, RIGHT = 64, 24
PLOT_TOP, PLOT_HEIGHT = 128, 230
ROW = 24
INK, MUTED, GRID, PAPER = "#1c2733", "#64748b", "#e2e8f0", "#ffffff"
AREA, LINE, BAD, BAND = "#bfdbfe", "#2563eb", "#dc2626", "#eef2f6"
FONT = "ui-sans-serif, system-ui, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Step:
    """A part of the time axis with a name and the texts of its row in the table below.

    Attributes:
        name: what happened.
        start_s: when it began, in seconds on the axis.
        end_s: when it was over.
        cells: one text for each of the chart's columns.
        good: false marks the row as wrong.
    """

    name: str
    start_s: float
    end_s: float
    cells: tuple[str, ...]
    good: bool = True


@dataclass(frozen=True)
class Chart:
    """What to draw; all times are seconds from the left edge.

    Attributes:
        title: the first line.
        subtitle: the second line.
        unit: what the vertical axis counts.
        rates: moments and the rate around each, evenly spaced.
        gaps: from when to when nothing was acknowledged.
        columns: the heads of the table's columns.
        steps: in the order of their start.
        end_s: the right edge.
    """

    title: str
    subtitle: str
    unit: str
    rates: Sequence[tuple[float, float]]
    gaps: Sequence[tuple[float, float]]
    columns: tuple[str, ...]
    steps: Sequence[Step]
    end_s: float


def draw(chart: Chart) -> str:
    """Return the text of the SVG file."""
    table_top = PLOT_TOP + PLOT_HEIGHT + 70
    height = table_top + ROW * (len(chart.steps) + 1) + 12
    body = [
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
        _text(LEFT, 34, chart.title, size=20, weight=600),
        _text(LEFT, 58, chart.subtitle, fill=MUTED),
        *_plot(chart),
        *_table(chart, table_top),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="{FONT}" font-size="13" role="img" '
        f'aria-label="{escape(chart.title)}">'
    )
    return "\n".join([head, *body, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, **style: object) -> str:
    names = {"size": "font-size", "weight": "font-weight", "anchor": "text-anchor"}
    values = {"fill": INK, **style}
    attributes = " ".join(f'{names.get(k, k)}="{v}"' for k, v in values.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'


def _plot(chart: Chart) -> list[str]:
    bottom = PLOT_TOP + PLOT_HEIGHT
    step, top_rate = _scale(max((rate for _, rate in chart.rates), default=0.0))

    def x(moment_s: float) -> float:
        share = min(1.0, max(0.0, moment_s / chart.end_s)) if chart.end_s else 0.0
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(rate: float) -> float:
        return bottom - rate / top_rate * PLOT_HEIGHT

    drawn = []
    for number, part in enumerate(chart.steps, 1):
        left, wide = x(part.start_s), x(part.end_s) - x(part.start_s)
        drawn += [
            f'<rect x="{left:.1f}" y="{PLOT_TOP}" width="{max(1.0, wide):.1f}" '
            f'height="{PLOT_HEIGHT}" fill="{BAND}"/>',
            f'<line x1="{left:.1f}" y1="{PLOT_TOP - 14}" x2="{left:.1f}" y2="{bottom}" '
            f'stroke="{MUTED}" stroke-dasharray="2 3"/>',
            _badge(left, PLOT_TOP - 22, number, part.good),
        ]
    rate = 0.0
    while rate <= top_rate:
        drawn += [
            f'<line x1="{LEFT}" y1="{y(rate):.1f}" x2="{WIDTH - RIGHT}" y2="{y(rate):.1f}" '
            f'stroke="{GRID}"/>',
            _text(LEFT - 8, y(rate) + 4, f"{rate:g}", anchor="end", fill=MUTED),
        ]
        rate += step
    drawn.append(_text(LEFT, PLOT_TOP - 42, chart.unit, fill=MUTED, size=12))
    if chart.rates:
        points = " ".join(f"{x(at):.1f},{y(rate):.1f}" for at, rate in chart.rates)
        first, last = x(chart.rates[0][0]), x(chart.rates[-1][0])
        drawn += [
            f'<polygon points="{first:.1f},{bottom} {points} {last:.1f},{bottom}" '
            f'fill="{AREA}" fill-opacity="0.6"/>',
            f'<polyline points="{points}" fill="none" stroke="{LINE}" stroke-width="1.2"/>',
        ]
    for start_s, end_s in chart.gaps:
        drawn.append(
            f'<rect x="{x(start_s):.1f}" y="{PLOT_TOP}" '
            f'width="{max(1.5, x(end_s) - x(start_s)):.1f}" height="{PLOT_HEIGHT}" '
            f'fill="{BAD}" fill-opacity="0.28"/>'
        )
    tick, _ = _scale(chart.end_s)
    at = 0.0
    while at <= chart.end_s:
        drawn += [
            f'<line x1="{x(at):.1f}" y1="{bottom}" x2="{x(at):.1f}" y2="{bottom + 5}" '
            f'stroke="{MUTED}"/>',
            _text(x(at), bottom + 20, f"{at:g} s", anchor="middle", fill=MUTED, size=12),
        ]
        at += tick
    drawn.append(
        f'<line x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}" stroke="{INK}"/>'
    )
    return drawn


def _badge(x: float, y: float, number: int, good: bool) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="{INK if good else BAD}"/>' + _text(
        x, y + 4, str(number), anchor="middle", fill=PAPER, size=11, weight=600
    )


def _scale(most: float, lines: int = 6) -> tuple[float, float]:
    """Return a round step, and the multiple of it that is at least ``most``."""
    step = 1.0
    sizes = [1, 2, 5, 10, 15, 20, 30, 50, 60, 100, 200, 500, 1000, 2000, 5000, 10000, 20000]
    for size in sizes:
        step = float(size)
        if most <= step * lines:
            break
    return step, step * max(1, -(-most // step))


def _table(chart: Chart, top: float) -> list[str]:
    wide = 150
    first = WIDTH - RIGHT - wide * len(chart.columns)
    drawn = [
        _text(first + wide * (i + 1), top, head, anchor="end", fill=MUTED, size=12)
        for i, head in enumerate(chart.columns)
    ]
    for number, step in enumerate(chart.steps, 1):
        y = top + ROW * number
        color = INK if step.good else BAD
        drawn += [
            f'<line x1="{LEFT}" y1="{y - 16}" x2="{WIDTH - RIGHT}" y2="{y - 16}" '
            f'stroke="{GRID}"/>',
            _badge(LEFT + 9, y - 4, number, step.good),
            _text(LEFT + 28, y, step.name, fill=color),
            *(
                _text(first + wide * (i + 1), y, cell, anchor="end", fill=color)
                for i, cell in enumerate(step.cells)
            ),
        ]
    return drawn
