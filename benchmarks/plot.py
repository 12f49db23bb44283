"""How every benchmark draws what it measured: `results/<name>.svg`, the same bytes each time.

Needs the `bench` extra. Colours are those of Okabe and Ito (2008), told apart by colour-blind eyes;
each series also has a marker of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib.figure import Figure

from benchmarks.report import RESULTS

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SHOWN = 0.005
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


def heat_map(
    name: str,
    title: str,
    labels: tuple[str, str],
    shares: npt.NDArray[np.float64],
    names: tuple[Sequence[str], Sequence[str]],
) -> None:
    """Shares as a coloured table with its figures written in.

    Args:
        name, title: as of `plot`.
        labels: of the columns and of the rows.
        shares: `[n_row, n_column]`, 0 to 1; NaN is left blank.
        names: of the columns and of the rows.
    """
    with plot(name, title, *labels) as axes:
        axes.grid(visible=False)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names[0])), names[0])
        axes.set_yticks(range(len(names[1])), names[1])
        for (row, column), share in np.ndenumerate(shares):
            if share >= _SHOWN:
                colour = "white" if share > 0.5 else "black"
                place = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
                axes.text(column, row, f"{share:.0%}", **place)
