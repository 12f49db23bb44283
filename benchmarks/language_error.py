"""How wrong a transcript's languages are over time, and how soon each change was found.

Language error is diarization error (NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition
Evaluation Plan") with languages in place of speakers. Labels are names, so nothing has to be
matched first, and only speech is judged: a language claimed in silence costs nothing, so there are
no false alarms.

    language error = (missed + confused) / speech

    speech    time within a true stretch, less the collars
    missed    of it, where no language is claimed
    confused  of it, where another language is claimed

A collar leaves out `collar_ms` on both sides of each start and end of a true stretch, as NIST's
collar of 250 ms does; `pyannote.metrics` gives the same name to the sum of both sides. Rates are
pooled: times are added over streams, then divided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np

COLLAR_MS = 200
QUANTILES = (0.025, 0.975)
RESAMPLES = 1000

_T = TypeVar("_T")


class Spoken(Protocol):
    """A language from `start_ms` up to `end_ms`, of whatever else."""

    @property
    def language(self) -> str: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def end_ms(self) -> int: ...


@dataclass(frozen=True)
class Stretch:
    """A stretch of a stream in one language; ms from the stream's first sample."""

    language: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class LanguageError:
    """Judged speech, and how much of it is wrong."""

    speech_ms: int = 0
    missed_ms: int = 0
    confused_ms: int = 0

    def __add__(self, other: LanguageError) -> LanguageError:
        return LanguageError(
            self.speech_ms + other.speech_ms,
            self.missed_ms + other.missed_ms,
            self.confused_ms + other.confused_ms,
        )

    @property
    def rate(self) -> float:
        """Share of the speech; 0 where there is none to judge."""
        return (self.missed_ms + self.confused_ms) / max(1, self.speech_ms)


def language_error(
    truth: Sequence[Spoken], heard: Sequence[Spoken], collar_ms: int = COLLAR_MS
) -> LanguageError:
    """Judge one stream.

    Args:
        truth: what was spoken, in order, without overlap.
        heard: what was claimed, in any order; where two claims overlap, the one that began later
            counts.
        collar_ms: left out on each side of a true start or end; 0: nothing is.

    Raises:
        ValueError: `truth` overlaps or is out of order.
    """
    if any(one.end_ms > other.start_ms for one, other in pairwise(truth)):
        raise ValueError("the true stretches overlap or are out of order")
    edges = [edge for each in truth for edge in (each.start_ms, each.end_ms)]
    cuts = {edge + side for edge in edges for side in (-collar_ms, 0, collar_ms)}
    cuts |= {edge for each in heard for edge in (each.start_ms, each.end_ms)}
    speech = missed = confused = 0
    for start, end in pairwise(sorted(cuts)):
        spoken = _at(truth, start)
        if spoken is None or any(edge - collar_ms <= start < edge + collar_ms for edge in edges):
            continue
        claimed = _at(heard, start)
        speech += end - start
        missed += (end - start) * (claimed is None)
        confused += (end - start) * (claimed is not None and claimed != spoken)
    return LanguageError(speech, missed, confused)


def _at(stretches: Sequence[Spoken], ms: int) -> str | None:
    there = [each for each in stretches if each.start_ms <= ms < each.end_ms]
    return max(there, key=lambda each: each.start_ms).language if there else None


@dataclass(frozen=True)
class Claim:
    """When `heard_ms` of audio had been spoken, a language was claimed for a stretch of it."""

    heard_ms: float
    language: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class FoundChange:
    """What became of one true change.

    Attributes:
        language: the one changed to.
        delay_ms: audio from the change to the first claim of it; infinite if it was missed.
        off_ms: from the true boundary to where the transcript has it; infinite if it was missed.
    """

    language: str
    delay_ms: float
    off_ms: float

    @property
    def found(self) -> bool:
        """Whether it is in the transcript."""
        return not math.isinf(self.off_ms)


def found_changes(
    truth: Sequence[Spoken], heard: Sequence[Spoken], claims: Sequence[Claim]
) -> list[FoundChange]:
    """Look for each change of language between successive true stretches.

    It is found if, in the finals, a stretch of the new language begins after the true stretch
    before it began, and reaches into the new one. Were the old language never claimed, one long
    stretch of the new would begin earlier: that is no change found. The boundary is where that
    stretch begins, and anywhere in a pause between the two languages is right.

    The delay runs to the first claim, in a partial or a final or a change of language announced,
    of the new language for some of the new stretch.

    Args:
        truth: what was spoken, in order, without overlap.
        heard: the finals' stretches.
        claims: of all events, in the order they arrived.
    """
    runs = _runs(heard)
    return [
        _found(before, after, runs, claims)
        for before, after in pairwise(truth)
        if before.language != after.language
    ]


def _found(
    before: Spoken, after: Spoken, runs: Sequence[Stretch], claims: Sequence[Claim]
) -> FoundChange:
    off_ms = [
        float(max(before.end_ms - run.start_ms, run.start_ms - after.start_ms, 0))
        for run in runs
        if _claims(run, after) and run.start_ms > before.start_ms
    ]
    delay_ms = [
        claim.heard_ms - after.start_ms
        for claim in claims
        if _claims(claim, after) and claim.heard_ms >= after.start_ms
    ]
    if not off_ms or not delay_ms:
        return FoundChange(after.language, math.inf, math.inf)
    return FoundChange(after.language, delay_ms[0], min(off_ms))


def _claims(claim: Spoken, spoken: Spoken) -> bool:
    overlap = claim.start_ms < spoken.end_ms and claim.end_ms > spoken.start_ms
    return overlap and claim.language == spoken.language


def _runs(heard: Sequence[Spoken]) -> list[Stretch]:
    """Neighbours of one language made one, whatever silence is between them."""
    runs: list[Stretch] = []
    for each in sorted(heard, key=lambda each: each.start_ms):
        if runs and runs[-1].language == each.language:
            last = runs.pop()
            runs.append(Stretch(last.language, last.start_ms, max(last.end_ms, each.end_ms)))
        else:
            runs.append(Stretch(each.language, each.start_ms, each.end_ms))
    return runs


def interval(
    streams: Sequence[_T], figure: Callable[[Sequence[_T]], float], seed: int = 0
) -> tuple[float, float]:
    """Bounds of the 95% interval of `figure`, by the bootstrap over `streams`.

    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation"
    (2004); streams are drawn, since what is in one stream hangs together.
    """
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(streams), size=(RESAMPLES, len(streams)))
    found = sorted(figure([streams[index] for index in row]) for row in drawn)
    low, high = (found[round(share * (RESAMPLES - 1))] for share in QUANTILES)
    return low, high
