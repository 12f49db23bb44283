"""The plot of a probe: an SVG file that needs no style sheet beside it."""

from __future__ import annotations

from transfer.evaluation.charts import Point, Series, chart_file
from transfer.probing.proposal import ProbeRecord

_STYLE = (
    "svg{background:#fff;font:12px sans-serif}text{fill:#444}.grid{stroke:#ddd}"
    "polyline,.bounds{fill:none;stroke:currentColor;stroke-width:1.5}"
    "circle,rect{fill:currentColor}.left{color:#2a6f97}.taught{color:#b5532a}"
)


def plot(record: ProbeRecord) -> str:
    """Error over layers, with its intervals; squares are the layers it proposes to leave alone."""
    points = [
        Point(layer, error.value, error.low, error.high)
        for layer, error in enumerate(record.errors)
    ]
    series = (
        Series("taught", "taught", points[record.frozen :], "circle"),
        Series("left alone", "left", points[: record.frozen + 1], "square"),
    )
    return chart_file(
        series,
        f"{record.target} of {record.language} wrong by a linear probe, over layers of "
        f"{record.base}; square: to be left alone",
        f"{record.target} wrong",
        _STYLE,
        percent=True,
    )
