"""Steps 4 and 9: which of two hypotheses wins."""

from __future__ import annotations

import math

import pytest
from panglot.v1 import asr_pb2

from gateway.arbitration import score


def hypothesis(confidence: float, text: str = "word") -> asr_pb2.Hypothesis:
    """Of a word, or of none."""
    words = [asr_pb2.HypothesisWord(text=one) for one in text.split()]
    return asr_pb2.Hypothesis(text=text, words=words, confidence=confidence)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param((0.5, 0.9), (0.5, 0.4), id="as likely by its sound: the surer words"),
        pytest.param((0.7, 0.6), (0.3, 0.6), id="as sure of the words: the likelier sound"),
        pytest.param((0.3, 0.95), (0.7, 0.3), id="words against sound"),
        pytest.param((0.95, 0.5), (0.05, 0.6), id="sound against words"),
        pytest.param((0.2, 0.01), (0.0, 0.01), id="a language that was not heard at all"),
    ],
)
def test_the_likelier_wins(ours: tuple[float, float], theirs: tuple[float, float]) -> None:
    probability, confidence = ours
    other_probability, other_confidence = theirs
    assert score(probability, hypothesis(confidence)) > score(
        other_probability, hypothesis(other_confidence)
    )


def test_no_words_are_no_proof_however_sure_of_them_the_recogniser_is() -> None:
    assert score(0.6, hypothesis(1.0, "")) < score(0.4, hypothesis(0.2))


@pytest.mark.parametrize("probability", [0.0, 1e-30, 1.0])
@pytest.mark.parametrize("confidence", [0.0, 1e-30, 1.0])
def test_what_is_certain_is_finite(probability: float, confidence: float) -> None:
    assert math.isfinite(score(probability, hypothesis(confidence)))
