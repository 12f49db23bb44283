"""Steps 4 and 9: two hypotheses of one span, each in its own language; which is right. Pure."""

from __future__ import annotations

import math

from panglot.v1 import asr_pb2

_TRUST = 1.0
_LEAST = 1e-3


def score(probability: float, hypothesis: asr_pb2.Hypothesis) -> float:
    """Log odds of a language: by what was heard of its sound, and by what the words say.

    Words in the wrong language fit badly, and their recogniser is unsure of them; confidences are
    calibrated, so that those of two adapters compare (`speech.calibration`).

    Args:
        probability: that the span is in the language, of language identification.
        hypothesis: what the language's recogniser made of the span.
    """
    confidence = hypothesis.confidence if hypothesis.words else 0.0
    return math.log(max(probability, _LEAST)) + _TRUST * _logit(confidence)


def _logit(probability: float) -> float:
    inside = min(max(probability, _LEAST), 1 - _LEAST)
    return math.log(inside / (1 - inside))
