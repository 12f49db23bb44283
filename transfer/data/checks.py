"""What makes a clip unusable: each check says why, and what exactly is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.data.audio import Heard
from transfer.data.script import foreign_letters
from transfer.data.text import unknown_letters, unreadable, unsaid

SHORTEST_S = 0.1
LONGEST_S = 28.0
"""What the encoder's positions reach (30 s), less the slowest speed perturbation."""
FASTEST_LETTERS_PER_S = 28.0
"""Nobody speaks faster; CTC at 50 frames/s could not write it down either."""
SLOWEST_LETTERS_PER_S = 1.0
MOST_AT_FULL_SCALE = 0.05
"""Share of samples: pauses count too, so a tenth or more of the speech is cut off at the limit.

Lossy coding blurs the limit: of speech amplified until 40% was cut off and coded as MP3, 7% is
found at full scale, so there only the worst is told.
"""
SILENT_BELOW = 1e-3
"""RMS of the loudest 25 ms, full scale 1: -60 dB is the noise of a closed microphone."""


@dataclass(frozen=True)
class Defect:
    """Why something is left out.

    Attributes:
        reason: one of few, to count by.
        detail: this case, in words; may be empty.
        fault: whether something is wrong with it; False where it would only spoil a split.
    """

    reason: str
    detail: str = ""
    fault: bool = True


def text_defect(text: str, language: str) -> Defect | None:
    """Of a normalised text."""
    reason = unreadable(text, language)
    if reason is None:
        return None
    details = {
        "digits or symbols": unsaid,
        "another script": foreign_letters,
        "foreign letters": unknown_letters,
    }
    return Defect(reason, details[reason](text, language) if reason in details else text)


def pace_defect(text: str, duration_s: float) -> Defect | None:
    """Of a normalised text and the time it takes to say."""
    if duration_s < SHORTEST_S:
        return Defect("too short", f"{duration_s:.2f} s, at least {SHORTEST_S} s")
    if duration_s > LONGEST_S:
        return Defect("too long", f"{duration_s:.1f} s, at most {LONGEST_S:.0f} s: cut it up")
    letters_per_s = len(text) / duration_s
    detail = f"{letters_per_s:.1f} letters a second"
    if letters_per_s > FASTEST_LETTERS_PER_S:
        return Defect("impossibly fast", detail)
    return Defect("impossibly slow", detail) if letters_per_s < SLOWEST_LETTERS_PER_S else None


def sound_defect(heard: Heard) -> Defect | None:
    """Of a recording's level."""
    if heard.duration_s >= SHORTEST_S and heard.loudest < SILENT_BELOW:
        return Defect("silent audio")
    if heard.at_full_scale > MOST_AT_FULL_SCALE:
        return Defect("clipped audio", f"{heard.at_full_scale:.0%} of the samples at full scale")
    return None
