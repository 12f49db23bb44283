"""How wrong what was heard is: edits, error rates with their uncertainty, confusions."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
import numpy.typing as npt

from speech.adapters.card import Accuracy, ErrorRate
from transfer.data.text import scoring_form, spell_digits

_N_RESAMPLE = 2000
_RESAMPLES_AT_A_TIME = 50
_QUANTILES = (0.025, 0.975)

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """One clip's reference and what a path heard, both in the form that is scored."""

    reference: str
    hypothesis: str

    def words(self) -> list[Pair]:
        """The words of both, aligned with the fewest edits (Levenshtein 1966)."""
        return _aligned(jiwer.process_words(self.reference, self.hypothesis))

    def characters(self) -> list[Pair]:
        """The characters of both, the spaces between words too, aligned with the fewest edits."""
        return _aligned(jiwer.process_characters(self.reference, self.hypothesis))


@dataclass(frozen=True)
class Pair:
    """A word or character that was said and what was heard for it; "" where there is none."""

    said: str
    heard: str


@dataclass(frozen=True)
class Edits:
    """What turns references into hypotheses; `length` counts the references' words or characters.

    Error rate is (substitutions + insertions + deletions) / length.
    """

    substitutions: int
    insertions: int
    deletions: int
    length: int

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Edits:
        """Count aligned pairs."""
        substitutions = insertions = deletions = length = 0
        for pair in pairs:
            length += bool(pair.said)
            if not pair.said:
                insertions += 1
            elif not pair.heard:
                deletions += 1
            else:
                substitutions += pair.said != pair.heard
        return cls(substitutions, insertions, deletions, length)

    @property
    def errors(self) -> int:
        """Of any kind."""
        return self.substitutions + self.insertions + self.deletions


@dataclass(frozen=True)
class Score:
    """One path over some clips."""

    wer: ErrorRate
    cer: ErrorRate
    words: Edits
    characters: Edits

    @property
    def accuracy(self) -> Accuracy:
        """What a card says of it."""
        return Accuracy(self.wer, self.cer)


@dataclass(frozen=True)
class Difference:
    """One path's word error rate beside another's on the same clips.

    Attributes:
        wer: the one's less the other's, below 0 where it is better, with its 95% interval.
        ratio: the one's divided by the other's, with its 95% interval; None where the other makes
            no error in some resample.
        real: whether the interval of `wer` leaves out 0.
    """

    wer: ErrorRate
    ratio: ErrorRate | None
    real: bool


@dataclass(frozen=True)
class Confusion:
    """How often something was heard for something else; "" stands for nothing."""

    said: str
    heard: str
    count: int


def judged(reference: str, hypothesis: str, language: str) -> Judged:
    """Bring both sides to the same form.

    Digits that stand alone are spelt out on both sides, as corpora are; longer numbers are not, and
    count as errors of whoever wrote them.
    """
    return Judged(
        *(scoring_form(spell_digits(text, language), language) for text in (reference, hypothesis))
    )


def score(clips: Sequence[Judged], seed: int = 0) -> Score:
    """Edits, WER and CER over all clips, with 95% intervals by the bootstrap over clips.

    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation"
    (2004). One clip has no interval: both bounds are then the value itself.
    """
    edits = [(Edits.of(clip.words()), Edits.of(clip.characters())) for clip in clips]
    words, characters = ([each[level] for each in edits] for level in (0, 1))
    sums = resampled(np.column_stack([_counts(words), _counts(characters)]), seed)
    return Score(
        wer=rate_of(_value(_total(words)), sums[:, 0] / sums[:, 1]),
        cer=rate_of(_value(_total(characters)), sums[:, 2] / sums[:, 3]),
        words=_total(words),
        characters=_total(characters),
    )


def accuracy(clips: Sequence[Judged], seed: int = 0) -> Accuracy:
    """WER and CER of `score`."""
    return score(clips, seed).accuracy


def difference(one: Sequence[Judged], other: Sequence[Judged], seed: int = 0) -> Difference:
    """Compare two paths over the same clips, in the same order, by the paired bootstrap.

    Each resample draws clips, not results: what makes a clip hard for both cancels out.
    """
    own, others = ([Edits.of(clip.words()) for clip in clips] for clips in (one, other))
    sums = resampled(np.column_stack([_counts(own), _counts(others)]), seed)
    first, second = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
    value, reference = _value(_total(own)), _value(_total(others))
    wer = rate_of(value - reference, first - second)
    ratio = rate_of(value / reference, first / second) if second.all() and reference else None
    return Difference(wer, ratio, real=len(one) > 1 and (wer.low > 0 or wer.high < 0))


def confusions(aligned: Iterable[Sequence[Pair]], most: int = 20) -> tuple[Confusion, ...]:
    """What is heard wrong most often, the commonest first."""
    counted = Counter(
        (pair.said, pair.heard) for pairs in aligned for pair in pairs if pair.said != pair.heard
    )
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Confusion(said, heard, count) for (said, heard), count in ranked[:most])


def _aligned(out: jiwer.WordOutput | jiwer.CharacterOutput) -> list[Pair]:
    (said,), (heard,), (chunks,) = out.references, out.hypotheses, out.alignments
    pairs = []
    for chunk in chunks:
        # A substitution has as many on one side as on the other; the rest has nothing on one.
        left = said[chunk.ref_start_idx : chunk.ref_end_idx]
        right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        pairs += [Pair(*pair) for pair in itertools.zip_longest(left, right, fillvalue="")]
    return pairs


def _counts(edits: Sequence[Edits]) -> Counts:
    """int64 `[n_clip, 2]`: errors and reference length of each clip."""
    return np.array([(each.errors, each.length) for each in edits], np.int64).reshape(-1, 2)


def _total(edits: Sequence[Edits]) -> Edits:
    return Edits(
        sum(each.substitutions for each in edits),
        sum(each.insertions for each in edits),
        sum(each.deletions for each in edits),
        sum(each.length for each in edits),
    )


def _value(edits: Edits) -> float:
    return edits.errors / max(edits.length, 1)


def resampled(counts: Counts, seed: int) -> npt.NDArray[np.float64]:
    """Sums over as many clips, drawn with replacement: float64 `[n_resample, n_count]`.

    Args:
        counts: int64 `[n_clip, n_count]`; the last column and every second one before it are
            lengths, whose sums are at least 1.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    sums = []
    for _ in range(0, _N_RESAMPLE, _RESAMPLES_AT_A_TIME):  # all at once would need gigabytes
        chosen = random.integers(0, len(counts), size=(_RESAMPLES_AT_A_TIME, len(counts)))
        sums.append(counts[chosen].sum(axis=1))
    found = np.concatenate(sums).astype(np.float64)
    found[:, 1::2] = np.maximum(found[:, 1::2], 1.0)
    return found


def rate_of(value: float, drawn: npt.NDArray[np.float64]) -> ErrorRate:
    """A value with the bounds between which 95% of its resamples lie."""
    low, high = np.quantile(drawn, _QUANTILES)
    return ErrorRate(*(round(float(rate), 4) for rate in (value, low, high)))
