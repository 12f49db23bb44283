"""How every benchmark draws what it measured: `results/<name>.svg`, the same bytes each time.

Needs the `bench` extra. Colours are those of Okabe and Ito (2008), told apart by colour-blind eyes;
each series also has a marker of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

from benchmarks.report import RESULTS

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "axes.prop_cycle": cycler(color=COLOURS) + cycler(marker=MARKERS),
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "white",
    "figure.figsize": (8, 4.5),
    "font.family": "sans-serif",
    "font.size": 11,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text as text: small, and the reader's own font
    "svg.hashsalt": "panglot",
}


@contextmanager
def plot(name: str, title: str, x: str, y: str) -> Iterator[Any]:
    """Axes to draw on, with labels `x` and `y` (units in them); saved when left."""
    with mpl.rc_context():
        mpl.rcdefaults()  # not whatever the user has set up
        mpl.rcParams.update(STYLE)
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        axes.set(title=title, xlabel=x, ylabel=y)
        yield axes
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        RESULTS.mkdir(exist_ok=True)
        figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None, "Creator": None})
