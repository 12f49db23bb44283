"""Pictures of `benchmarks.lid`: accuracy over seconds of speech, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.plot import heat_map, plot


def draw(
    rows: Sequence[dict[str, Any]],
    confusion: npt.NDArray[np.float64],
    languages: Sequence[str],
) -> None:
    """Write `results/lid.svg` and `results/lid_confusion.svg`.

    Args:
        rows: accuracy by model, seconds of speech, choice and corpus.
        confusion: share of each language's windows heard as each, `[n_language, n_language]`.
        languages: names of both axes.
    """
    _accuracy(rows)
    heat_map(
        "lid_confusion",
        "2 s of speech: spoken, and heard as (rows sum to 100%)",
        ("heard as", "spoken"),
        confusion,
        (languages, languages),
    )


def _accuracy(rows: Sequence[dict[str, Any]]) -> None:
    chosen = [row for row in rows if row["choice"] == "restricted"]
    with plot(
        "lid",
        "Language identification among the taught languages",
        "seconds of speech",
        "share of windows heard right, mean over corpora",
    ) as axes:
        for model in dict.fromkeys(row["model"] for row in chosen):
            lengths = sorted({row["speech_s"] for row in chosen})
            means = [
                np.mean(
                    [
                        row["accuracy"]
                        for row in chosen
                        if row["model"] == model and row["speech_s"] == seconds
                    ]
                )
                for seconds in lengths
            ]
            axes.plot(lengths, means, label=model)
        axes.set_ylim(0, 1)
