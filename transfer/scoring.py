"""Error rates with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
import numpy.typing as npt

from speech.adapters.card import Accuracy, ErrorRate
from transfer.text import scoring_form, spell_digits

_N_RESAMPLE = 2000


@dataclass(frozen=True)
class Judged:
    """One clip's reference and what a path heard, both in the form that is scored."""

    reference: str
    hypothesis: str


def judged(reference: str, hypothesis: str, language: str) -> Judged:
    """Bring both sides to the same form.

    Digits that stand alone are spelt out on both sides, as corpora are; longer numbers are not, and
    count as errors of whoever wrote them.
    """
    return Judged(
        *(scoring_form(spell_digits(text, language), language) for text in (reference, hypothesis))
    )


def accuracy(clips: Sequence[Judged], seed: int = 0) -> Accuracy:
    """WER and CER over all clips, with 95% intervals by the bootstrap over clips."""
    return Accuracy(
        wer=_error_rate(np.array([_words(clip) for clip in clips]), seed),
        cer=_error_rate(np.array([_characters(clip) for clip in clips]), seed),
    )


def _words(clip: Judged) -> tuple[int, int]:
    out = jiwer.process_words(clip.reference, clip.hypothesis)
    return out.substitutions + out.deletions + out.insertions, len(clip.reference.split())


def _characters(clip: Judged) -> tuple[int, int]:
    out = jiwer.process_characters(clip.reference, clip.hypothesis)
    return out.substitutions + out.deletions + out.insertions, len(clip.reference)


def _error_rate(counts: npt.NDArray[np.int64], seed: int) -> ErrorRate:
    """From int64 `[n_clip, 2]`: errors and reference length of each clip."""
    chosen = np.random.default_rng(seed).integers(0, len(counts), size=(_N_RESAMPLE, len(counts)))
    errors, lengths = counts[chosen].sum(axis=1).T
    low, high = np.quantile(errors / lengths, [0.025, 0.975])
    value = counts[:, 0].sum() / counts[:, 1].sum()
    return ErrorRate(*(round(float(rate), 4) for rate in (value, low, high)))
