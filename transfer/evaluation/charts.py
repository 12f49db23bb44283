"""Small line charts as SVG, for the HTML report: its style sheet colours them, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 16, 44
_MARKERS = {
    "circle": '<circle cx="{x}" cy="{y}" r="4"/>',
    "square": '<rect x="{left}" y="{top}" width="8" height="8"/>',
}
_TICKS = 5
_NOTHING = Markup("")


@dataclass(frozen=True)
class Point:
    """One value; `low` and `high` bound its interval, where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points joined by a line.

    Attributes:
        name: for the legend.
        style: class of the style sheet, which gives the colour.
        points: from left to right; one point is drawn as a level line.
        marker: `circle` or `square`, so that colour is not all that tells series apart; "" for
            none.
    """

    name: str
    style: str
    points: Sequence[Point]
    marker: str = ""


def line_chart(
    series: Sequence[Series], x_label: str, y_label: str, *, percent: bool = False
) -> Markup:
    """An `<svg>` with axes from 0, ticks at round numbers, and a legend where series are several.

    Args:
        series: at least one, with at least one point.
        x_label, y_label: with units; `y_label` also names the chart for those who hear it.
        percent: write 0.2 as 20%.
    """
    return Markup("<figure><figcaption>{}</figcaption>{}{}</figure>").format(
        y_label, _svg(series, x_label, y_label, percent), _legend(series)
    )


def chart_file(
    series: Sequence[Series], x_label: str, y_label: str, style: str, *, percent: bool = False
) -> str:
    """The chart of `line_chart` as an SVG file that carries its own style sheet, without legend."""
    alone = Markup(' xmlns="http://www.w3.org/2000/svg" width="{}" height="{}"').format(
        _WIDTH, _HEIGHT
    )
    sheet = Markup("<style>{}</style>").format(Markup(style))
    return str(_svg(series, x_label, y_label, percent, alone, sheet)) + "\n"


def ticks(highest: float) -> list[float]:
    """Round numbers from 0 to `highest` or just above, about five of them."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / _TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    return [number * step for number in range(math.ceil(highest / step - 1e-9) + 1)]


def _svg(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    percent: bool,
    attributes: Markup = _NOTHING,
    sheet: Markup = _NOTHING,
) -> Markup:
    points = [point for each in series for point in each.points]
    x_ticks = ticks(max(point.x for point in points))
    y_ticks = ticks(max(max(point.y, point.high or 0.0) for point in points))
    frame = _Frame(x_ticks[-1], y_ticks[-1])
    parts = [
        Markup('<svg{} viewBox="0 0 {} {}" role="img" aria-label="{}">{}').format(
            attributes, _WIDTH, _HEIGHT, f"{y_label} over {x_label}", sheet
        ),
        *(_x_tick(frame, value) for value in x_ticks),
        *(_y_tick(frame, value, percent) for value in y_ticks),
        Markup('<text class="label" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (_LEFT + _WIDTH - _RIGHT) // 2, _HEIGHT - 6, x_label
        ),
        *(_drawn(frame, each) for each in series),
        Markup("</svg>"),
    ]
    return _NOTHING.join(parts)


@dataclass(frozen=True)
class _Frame:
    """From values to the chart's coordinates."""

    x_max: float
    y_max: float

    def x(self, value: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self.x_max, 1)

    def y(self, value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self.y_max, 1)


def _legend(series: Sequence[Series]) -> Markup:
    if len(series) < 2:
        return Markup("")
    entries = (Markup('<li class="{}">{}</li>').format(each.style, each.name) for each in series)
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(entries))


def _x_tick(frame: _Frame, value: float) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="middle">{:g}</text>').format(
        frame.x(value), _HEIGHT - _BOTTOM + 16, value
    )


def _y_tick(frame: _Frame, value: float, percent: bool) -> Markup:
    y = frame.y(value)
    label = f"{100 * value:.3g}%" if percent else f"{value:.3g}"
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text x="{}" y="{}" text-anchor="end">{}</text>'
    ).format(_LEFT, _WIDTH - _RIGHT, y, y, _LEFT - 8, y + 4, label)


def _drawn(frame: _Frame, series: Series) -> Markup:
    points = series.points
    if len(points) == 1 and not series.marker:  # a level, from edge to edge
        points = [Point(0.0, points[0].y), Point(frame.x_max, points[0].y)]
    line = " ".join(f"{frame.x(point.x)},{frame.y(point.y)}" for point in points)
    marks = [_bounds(frame, point) + _marker(frame, point, series.marker) for point in points]
    return Markup('<g class="{}"><polyline points="{}"/>{}</g>').format(
        series.style, line, Markup("").join(marks)
    )


def _bounds(frame: _Frame, point: Point) -> Markup:
    if point.low is None or point.high is None:
        return Markup("")
    x, low, high = frame.x(point.x), frame.y(point.low), frame.y(point.high)
    return Markup('<path class="bounds" d="M{0} {1}V{2}M{3} {1}H{4}M{3} {2}H{4}"/>').format(
        x, low, high, x - 4, x + 4
    )


def _marker(frame: _Frame, point: Point, kind: str) -> Markup:
    if kind not in _MARKERS:
        return Markup("")
    x, y = frame.x(point.x), frame.y(point.y)
    return Markup(_MARKERS[kind]).format(x=x, y=y, left=x - 4, top=y - 4)
