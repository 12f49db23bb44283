"""Recordings that say less than their text: much shorter than their own speaker needs for it.

A corpus's text is sometimes longer than what was read (a sentence added later, a letter's name in
place of `the letter t`). A speaker's durations lie close to a line over the number of letters, so
such clips stand out long before they are too fast for any human being.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FEWEST_CLIPS = 30
"""A speaker with fewer is not judged: the line would be drawn through too little."""
_LEAST_SHARE = 0.6
_LEAST_MISSING_S = 0.5
"""Both limits hold: short words have large shares of nothing, long ones of hurry."""

Column = npt.NDArray[Any]


@dataclass(frozen=True)
class Pace:
    """How long a speaker takes: `lead_s + per_letter_s * letters` seconds."""

    lead_s: float
    per_letter_s: float

    def says_less(self, letters: Column, seconds: Column) -> npt.NDArray[np.bool_]:
        """Which clips are far too short to hold their text; `[n_clip]` of numbers each."""
        expected = self.lead_s + self.per_letter_s * letters
        found: npt.NDArray[np.bool_] = (seconds < _LEAST_SHARE * expected) & (
            expected - seconds > _LEAST_MISSING_S
        )
        return found


def pace_of(letters: Column, seconds: Column) -> Pace:
    """The line of least absolute deviations, which the bad clips themselves hardly move.

    By iteratively reweighted least squares (Schlossmacher, 1973); `[n_clip]` of numbers each.
    """
    points = np.column_stack([np.ones(len(letters)), letters])
    weight = np.ones(len(seconds))
    line = np.zeros(2)
    for _ in range(30):
        root = np.sqrt(weight)
        line = np.linalg.lstsq(points * root[:, None], seconds * root, rcond=None)[0]
        weight = 1.0 / np.maximum(np.abs(seconds - points @ line), 1e-3)
    return Pace(float(line[0]), float(line[1]))
