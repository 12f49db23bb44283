"""What the development split decides of a finished run: the lexicon's weights, and confidence."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speech.adapters.card import Calibration, LexiconSettings
from speech.adapters.module import Adapter
from speech.base_model import BaseModel
from speech.calibration import fit
from speech.ctc.lexicon import LexiconDecoder
from speech.ctc.paths import LogProbs, text_of
from transfer.data.audio import read_audio
from transfer.data.manifest import Clip
from transfer.evaluation.calibrate import Outcomes, some
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.scoring import Edits, judged
from transfer.lexicon.build import build_lexicon
from transfer.lexicon.more_words import NO_MORE_WORDS, MoreWords
from transfer.progress import Bars, no_bars
from transfer.training.run import RunRecord

BEAM_SIZE = 100
# On development clips; no single language has enough to tell. The penalty and the word score are of
# 295 clips of five languages (be ca en it ru), the best of a grid on the same clips; French and
# Spanish were not in it. The rescue is of 491 clips of seven, 12 and 20 within chance.
BLANK_PENALTY = 1.5
RESCUE_NATS = 20.0
USUAL_WEIGHTS = (2.0, -1.0)
"""LM weight and word score."""
_LM_WEIGHTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
_WORD_SCORES = (-2.0, -1.0, 0.0, 1.0)
_STANDARD_ERRORS = 2.0
_MOST_CLIPS = 400
"""More would tell no more, and take hours of a large corpus."""

Errors = npt.NDArray[np.int64]
Heard = Sequence[tuple[Clip, LogProbs]]


@dataclass(frozen=True)
class Tuned:
    """A finished run as it would be served.

    Attributes:
        recogniser: the adapter, in the precision it is published in, and its lexicon.
        lexicon: the lexicon's file.
        weights: those that hear the development split best.
        calibration: fitted on the development split; None where it is too small.
    """

    recogniser: Recogniser
    lexicon: bytes
    weights: LexiconSettings
    calibration: Calibration | None


def tune(
    base: BaseModel,
    record: RunRecord,
    run: Path,
    training: Sequence[Clip],
    development: Sequence[Clip],
    bars: Bars = no_bars,
    more: MoreWords = NO_MORE_WORDS,
) -> Tuned:
    """Build the lexicon from the training text and more, then fit its weights and confidence.

    Args:
        base: what the run was trained on.
        record, run: the finished run and its folder.
        training: clips whose text the lexicon learns from.
        development: clips that decide; none of them may be judged later.
        bars: shows progress.
        more: what the lexicon learns from beside the training text.
    """
    adapter = rounded_to_half(record.adapter(run, base.encoder.d_model))
    texts = [clip.text for clip in training]
    built = bars(f"{run.name}: building the lexicon", 1)
    lexicon = build_lexicon(texts, record.language, record.vocabulary, more)
    built()
    plain = Recogniser(base, adapter, record.vocabulary, decoder=None)
    deciding = some(development, "development", _MOST_CLIPS)
    advance = bars(f"{run.name}: tuning the lexicon", len(deciding))
    heard = []
    for clip in deciding:
        heard.append((clip, plain.log_probs(read_audio(clip.audio))))
        advance()
    sha256 = hashlib.sha256(lexicon).hexdigest()
    weights = tune_lexicon(lexicon, record.vocabulary, heard, sha256)
    decoder = LexiconDecoder.from_bytes(lexicon, record.vocabulary, weights)
    recogniser = replace(plain, decoder=decoder)
    outcomes = Outcomes.of((clip, recogniser.words(each)) for clip, each in heard)
    calibration = fit(outcomes.confidence, outcomes.right)
    return Tuned(recogniser, lexicon, weights, calibration)


def tune_lexicon(
    lexicon: bytes, vocabulary: Sequence[str], heard: Heard, sha256: str
) -> LexiconSettings:
    """The usual weights, or others that hear the development clips better by more than chance.

    A few dozen clips cannot tell most weights apart, and what is best on them by a word or two may
    be far from it on others. So of all weights whose errors are within two standard errors of the
    fewest, those nearest to the usual are taken (after Breiman et al., "Classification and
    Regression Trees", 1984). The LM weight is searched first, then the word score.
    """

    def settings(weights: tuple[float, float]) -> LexiconSettings:
        return LexiconSettings(sha256, *weights, BEAM_SIZE, BLANK_PENALTY, RESCUE_NATS)

    usual = LexiconDecoder.from_bytes(lexicon, vocabulary, settings(USUAL_WEIGHTS))

    def errors(weights: tuple[float, float]) -> Errors:
        decoder = usual.weighed(settings(weights))
        texts = [text_of(decoder.decode(each), vocabulary) for _, each in heard]
        found = [
            Edits.of(judged(clip.text, text, clip.language).words()).errors
            for (clip, _), text in zip(heard, texts, strict=True)
        ]
        return np.array(found, np.int64)

    lm_weight, word_score = USUAL_WEIGHTS
    if heard:
        by_weight = {each: errors((each, word_score)) for each in _LM_WEIGHTS}
        lm_weight = nearest_of_the_best(by_weight, lm_weight)
        by_score = {each: errors((lm_weight, each)) for each in _WORD_SCORES}
        word_score = nearest_of_the_best(by_score, word_score)
    return settings((lm_weight, word_score))


def nearest_of_the_best(errors: Mapping[float, Errors], usual: float) -> float:
    """The setting nearest to the usual one, of those that chance could have made the best.

    Args:
        errors: of each setting, int64 `[n_clip]`, the same clips in the same order.
        usual: what is taken where nothing speaks against it.
    """
    best = min(errors.values(), key=lambda each: each.sum())

    def may_be_best(setting: float) -> bool:
        more = errors[setting] - best
        return bool(more.sum() <= _STANDARD_ERRORS * more.std() * math.sqrt(len(more)))

    return min(filter(may_be_best, errors), key=lambda setting: abs(setting - usual))


def rounded_to_half(adapter: Adapter) -> Adapter:
    """The same adapter with the precision it is published in."""
    return adapter.half().float().eval()
