"""Step 9, confidence: from a posterior to the probability that a word is right.

A network's posteriors are not probabilities of being right: this one is too sure of itself. Platt
scaling on the logit of a word's confidence mends that with two numbers, which are fitted on the
development split (Platt, "Probabilistic Outputs for Support Vector Machines", 1999; Guo et al., "On
Calibration of Modern Neural Networks", 2017). An adapter's card holds its own; those of base
models' own decoders are in `universal_calibration.json`, by the fingerprint of the model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speech.adapters.card import Calibration
from speech.ctc.paths import TimedWord

UNIVERSAL_FILE = Path(__file__).parent / "universal_calibration.json"
FEWEST_WORDS = 50
"""Fewer words than this, or fewer than `FEWEST_WRONG` wrong ones, say nothing about the rest."""
FEWEST_WRONG = 10
_CERTAIN = 1e-4
_PRIOR = 0.01
_NEWTON_STEPS = 50

Floats = npt.NDArray[np.float64]
Right = npt.NDArray[np.bool_]


def apply(calibration: Calibration, confidence: Floats) -> Floats:
    """`sigmoid(slope * logit(confidence) + intercept)`, float64 of the same shape, within 0 to 1.

    Confidences nearer to 0 or 1 than 0.0001 count as that.
    """
    return _sigmoid(calibration.slope * _logit(confidence) + calibration.intercept)


def calibrated(
    words: Sequence[TimedWord], calibration: Calibration | None
) -> tuple[TimedWord, ...]:
    """The words with the probability that each is right; as they are where nothing was measured."""
    if calibration is None or not words:
        return tuple(words)
    probabilities = apply(calibration, np.array([word.confidence for word in words]))
    return tuple(
        dataclasses.replace(word, confidence=float(probability))
        for word, probability in zip(words, probabilities, strict=True)
    )


def share_right(words: Sequence[TimedWord]) -> float:
    """Confidence of a hypothesis: the expected share of its words that are right; 0 for none."""
    return float(np.mean([word.confidence for word in words])) if words else 0.0


def fit(confidence: Floats, right: Right) -> Calibration | None:
    """The most likely calibration by Newton's method, with a weak prior at slope 0, intercept 0.

    Args:
        confidence: float64 `[n_word]`, raw, of words that were heard.
        right: bool `[n_word]`, whether each was said.

    Returns:
        None where there are too few words to tell, or surer words are no likelier right.
    """
    if len(right) < FEWEST_WORDS or min(right.sum(), (~right).sum()) < FEWEST_WRONG:
        return None
    inputs = np.column_stack([_logit(confidence), np.ones(len(right))])
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        probability = _sigmoid(inputs @ weights)
        gradient = inputs.T @ (right - probability) - _PRIOR * weights
        curvature = (inputs.T * (probability * (1 - probability))) @ inputs + _PRIOR * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    slope, intercept = (round(float(weight), 4) for weight in weights)
    return Calibration(slope, intercept) if slope > 0 else None


def expected_calibration_error(probability: Floats, right: Right, n_bin: int = 10) -> float:
    """Mean distance of confidence from accuracy over bins of equal width, weighed by their words.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (2015).

    Args:
        probability: float64 `[n_word]`, 0 to 1.
        right: bool `[n_word]`.
        n_bin: bins between 0 and 1.
    """
    bins = np.minimum((probability * n_bin).astype(np.int64), n_bin - 1)
    distance = np.bincount(bins, weights=probability - right, minlength=n_bin)
    return float(np.abs(distance).sum() / len(right))


def universal_calibration(fingerprint: str, file: Path = UNIVERSAL_FILE) -> Calibration | None:
    """That of the base model's own decoder; None where it was never measured."""
    entry = json.loads(file.read_text(encoding="utf-8")).get(fingerprint)
    return None if entry is None else Calibration(entry["slope"], entry["intercept"])


def _logit(confidence: Floats) -> Floats:
    clipped = np.clip(np.asarray(confidence, np.float64), _CERTAIN, 1 - _CERTAIN)
    return np.log(clipped / (1 - clipped))


def _sigmoid(value: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -value))
