"""Which phonemes are heard right: those the sources know, those that are the language's own.

References and hypotheses are read aloud by the same rules and aligned phoneme by phoneme with the
fewest edits. A spelling mistake that sounds the same is none here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from transfer.evaluation.evaluate import PathName
from transfer.evaluation.scoring import (
    Confusion,
    Edits,
    Judged,
    Pair,
    confusions,
    rate_of,
    resampled,
)
from transfer.phonemes.articulation import articulatory_class
from transfer.phonemes.chart import CLASSES
from transfer.phonemes.g2p import GraphemeToPhoneme
from transfer.phonemes.inventory import shared_and_own

Group = Literal["shared", "own"]
FEWEST = 20
"""Phonemes of a group that must have been said before its accuracy is given."""


@dataclass(frozen=True)
class Estimate:
    """A share, or a difference of two, with its 95% bootstrap interval over clips.

    Attributes:
        value, low, high: the bounds are the value itself where there is one clip only.
        n: phonemes it is counted on.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def real(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class PathPhonemes:
    """How one path hears the phonemes that were said.

    Attributes:
        every: share of all of them that is heard right; insertions do not count.
        error_rate: substitutions, insertions and deletions for each phoneme said.
        shared, own: share heard right of those that a source has too, and of the others; None
            where there is no source or fewer than `FEWEST` were said.
        gap: shared less own, the transfer gap; None where one of them is.
    """

    every: Estimate
    error_rate: Estimate
    shared: Estimate | None
    own: Estimate | None
    gap: Estimate | None


@dataclass(frozen=True)
class PhonemeResult:
    """One phoneme, as the adapter hears it; `group` is None where there is no source."""

    phoneme: str
    group: Group | None
    said: int
    right: int


@dataclass(frozen=True)
class ClassMap:
    """What is heard for what, by articulatory class.

    Attributes:
        classes: those that occur, and "" for nothing at the end.
        counts: a row for each class that was said, a column for each that was heard for it; the
            last row is what was heard though never said, the last column what was not heard.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class PhonemeFindings:
    """The phonemes of an evaluation.

    Attributes:
        sources: languages that the adapter started from; empty where it started from nothing.
        n_clip: judged; those whose text has no phonemes are left out.
        paths: `adapter`, `greedy` and, where it was taken, `universal`.
        phonemes: the adapter's, the commonest first.
        confusions: the adapter's, the commonest first.
        classes: the adapter's.
    """

    sources: tuple[str, ...]
    n_clip: int
    paths: dict[PathName, PathPhonemes]
    phonemes: tuple[PhonemeResult, ...]
    confusions: tuple[Confusion, ...]
    classes: ClassMap


def judge_phonemes(
    heard: Mapping[PathName, Sequence[Judged]],
    g2p: GraphemeToPhoneme,
    sources: Mapping[str, Collection[str]],
    seed: int = 0,
) -> PhonemeFindings | None:
    """Compare what was heard with what was said; None where no text has phonemes.

    Args:
        heard: of each path, clip by clip; `adapter` is one of them.
        g2p: reads the language.
        sources: phonemes of each language that the adapter started from.
        seed: of the bootstrap.
    """
    clips = {path: _aligned(judged, g2p) for path, judged in heard.items()}
    adapter = clips["adapter"]
    if not adapter:
        return None
    pairs = [pair for clip in adapter for pair in clip]
    said = Counter(pair.said for pair in pairs if pair.said)
    right = Counter(pair.said for pair in pairs if pair.said == pair.heard)
    own = shared_and_own(said, *sources.values()).own
    groups: dict[str, Group | None] = {
        phoneme: None if not sources else "own" if phoneme in own else "shared" for phoneme in said
    }
    ranked = sorted(said, key=lambda phoneme: (-said[phoneme], phoneme))
    return PhonemeFindings(
        sources=tuple(sources),
        n_clip=len(adapter),
        paths={path: _score(each, groups, seed) for path, each in clips.items()},
        phonemes=tuple(
            PhonemeResult(phoneme, groups[phoneme], said[phoneme], right[phoneme])
            for phoneme in ranked
        ),
        confusions=confusions(adapter),
        classes=class_map(pairs),
    )


def class_map(pairs: Iterable[Pair]) -> ClassMap:
    """Count aligned phonemes by the classes of both sides."""
    counted = Counter((_class(pair.said), _class(pair.heard)) for pair in pairs)
    occurring = {name for pair in counted for name in pair}
    classes = (*(name for name in CLASSES if name in occurring), "")
    counts = (tuple(counted[row, column] for column in classes) for row in classes)
    return ClassMap(classes, tuple(counts))


def _aligned(judged: Sequence[Judged], g2p: GraphemeToPhoneme) -> list[list[Pair]]:
    """Pairs of phonemes of each clip whose reference has any."""
    found = []
    for clip in judged:
        reference, hypothesis = (
            " ".join(phoneme for word in g2p.phonemes(text) for phoneme in word)
            for text in (clip.reference, clip.hypothesis)
        )
        if reference:
            found.append(Judged(reference, hypothesis).words())
    return found


def _score(
    clips: Sequence[Sequence[Pair]], groups: Mapping[str, Group | None], seed: int
) -> PathPhonemes:
    """Columns of the counts are numerators and denominators, as `resampled` wants them."""
    rows = []
    for clip in clips:
        row = [0] * 8
        edits = Edits.of(clip)
        row[6:] = edits.errors, edits.length
        for pair in clip:
            columns = {"shared": (0, 2), "own": (0, 4), None: (0,)}[groups.get(pair.said)]
            for column in columns if pair.said else ():
                row[column] += pair.said == pair.heard
                row[column + 1] += 1
        rows.append(row)
    counts = np.array(rows, np.int64)
    totals, sums = counts.sum(axis=0), resampled(counts, seed)

    def estimate(column: int) -> Estimate:
        length = int(totals[column + 1])
        drawn = sums[:, column] / sums[:, column + 1]
        return _estimate(totals[column] / max(length, 1), drawn, length)

    shared, own = (estimate(column) if totals[column + 1] >= FEWEST else None for column in (2, 4))
    gap = None
    if shared is not None and own is not None:
        drawn = sums[:, 2] / sums[:, 3] - sums[:, 4] / sums[:, 5]
        value = totals[2] / totals[3] - totals[4] / totals[5]
        gap = _estimate(value, drawn, shared.n + own.n)
    return PathPhonemes(estimate(0), estimate(6), shared, own, gap)


def _estimate(value: float, drawn: npt.NDArray[np.float64], n: int) -> Estimate:
    rate = rate_of(value, drawn)
    return Estimate(rate.value, rate.low, rate.high, n)


def _class(phoneme: str) -> str:
    return articulatory_class(phoneme) if phoneme else ""
