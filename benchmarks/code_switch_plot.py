"""Pictures of `code_switch`: errors of each kind, and some streams over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.code_switch_scores import ALL, BARS, CHANGING, Judged
from benchmarks.code_switch_set import LANGUAGES
from benchmarks.language_error import Spoken
from benchmarks.plot import COLOURS, plot

MORE_COLOURS = ("#F0E442", "#999999", "#882255", "#332288")
"""Yellow is Okabe and Ito's, the others Tol's; each bar has its language written in it, too."""
COLOUR = dict(zip(LANGUAGES, (*COLOURS[:6], *MORE_COLOURS, "#117733"), strict=True))
HEIGHT, BETWEEN = 0.34, 0.02
WIDE_MS = 700
"""Shorter bars have no room for the name."""


def draw(name: str, rows: Sequence[dict[str, Any]], streams: Sequence[Judged]) -> None:
    """`<name>.svg` and `<name>_timeline.svg`."""
    _errors(name, [row for row in rows if "joint" in row and row["languages"] != ALL])
    shown: dict[object, Judged] = {}
    for each in streams:
        if each.played.stream.kind.languages in CHANGING:
            shown.setdefault(each.played.stream.kind, each)
    _timeline(f"{name}_timeline", list(shown.values())[:7])


def _errors(name: str, rows: Sequence[dict[str, Any]]) -> None:
    with plot(name, "Language error, 200 ms collar", "share of speech", "") as axes:
        names = [f"{row['languages']}, {row['joint']}" for row in rows]
        missed = [row["missed"] for row in rows]
        axes.barh(names, missed, label="no language", color=COLOURS[5])
        confused = [row["confused"] for row in rows]
        axes.barh(names, confused, left=missed, label="another language", color=COLOURS[1])
        bar = BARS["language_error"]
        axes.set_axisbelow(True)
        axes.axvline(bar, color="black", linestyle="--", marker="", label=f"aim, {bar:.0%}")
        axes.invert_yaxis()


def _timeline(name: str, streams: Sequence[Judged]) -> None:
    with plot(name, "Above what is spoken, below what is heard", "time [s]", "") as axes:
        for number, each in enumerate(streams):
            _bars(axes, number - HEIGHT - BETWEEN, each.played.stream.spans)
            _bars(axes, number + BETWEEN, each.played.heard)
        kinds = [each.played.stream.kind for each in streams]
        names = [f"{kind.languages},\n{kind.joint}" for kind in kinds]
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(visible=False)


def _bars(axes: Any, y: float, stretches: Sequence[Spoken]) -> None:
    for each in stretches:
        start_s, length_ms = each.start_ms / 1000, each.end_ms - each.start_ms
        colour = COLOUR[each.language]
        axes.broken_barh([(start_s, length_ms / 1000)], (y, HEIGHT), color=colour)
        if length_ms >= WIDE_MS:
            middle = (start_s + length_ms / 2000, y + HEIGHT / 2)
            axes.annotate(
                each.language, middle, ha="center", va="center", fontsize=8, color=_ink(colour)
            )


def _ink(colour: str) -> str:
    """Black on light colours, white on dark ones."""
    red, green, blue = (int(colour.lstrip("#")[i : i + 2], 16) for i in (0, 2, 4))
    return "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 140 else "white"
