"""Step 9: confidence as the probability of being right."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.adapter_files import CARD_FILE
from common.errors import AdapterRefused
from speech.adapters.card import Calibration, read_card, write_card
from speech.calibration import (
    Floats,
    Right,
    apply,
    calibrated,
    expected_calibration_error,
    fit,
    share_right,
    universal_calibration,
)
from speech.ctc.paths import TimedWord

MODELS = Path(__file__).parents[2] / "models"

calibrations = st.builds(Calibration, st.floats(0.05, 5), st.floats(-5, 5))
confidences = st.lists(st.floats(0, 1), min_size=1, max_size=20).map(np.array)


def heard(calibration: Calibration, n_word: int) -> tuple[Floats, Right]:
    """Raw confidences, and words that are right as often as `calibration` says."""
    chance = np.random.default_rng(0)
    confidence = chance.beta(3, 1, n_word)
    return confidence, chance.random(n_word) < apply(calibration, confidence)


@pytest.mark.parametrize(
    "truth", [Calibration(0.4, 0.8), Calibration(1.0, 0.0), Calibration(2, -1)]
)
def test_fit_recovers_what_the_words_follow(truth: Calibration) -> None:
    found = fit(*heard(truth, 50_000))
    assert found is not None
    assert found.slope == pytest.approx(truth.slope, abs=0.05)
    assert found.intercept == pytest.approx(truth.intercept, abs=0.05)


def test_fit_lowers_the_error() -> None:
    confidence, right = heard(Calibration(0.4, -0.5), 20_000)
    found = fit(confidence, right)
    assert found is not None
    assert expected_calibration_error(confidence, right) > 0.1
    assert expected_calibration_error(apply(found, confidence), right) < 0.02


def test_too_few_words_are_not_fitted() -> None:
    confidence, right = heard(Calibration(1, 0), 1_000)
    assert fit(confidence[:49], right[:49]) is None
    assert fit(confidence, np.ones(1_000, np.bool_)) is None
    assert fit(np.zeros(0), np.zeros(0, np.bool_)) is None


def test_confidence_that_misleads_is_not_fitted() -> None:
    confidence, right = heard(Calibration(1, 0), 1_000)
    assert fit(1 - confidence, right) is None


def test_words_that_confidence_separates_wholly_are_still_fitted() -> None:
    confidence = np.linspace(0, 1, 200)
    found = fit(confidence, confidence > 0.5)
    assert found is not None
    low, high = apply(found, np.array([0.1, 0.9]))
    assert low < 0.01
    assert high > 0.99


@given(calibrations, confidences)
def test_probabilities_are_bounded_and_in_the_same_order(
    calibration: Calibration, confidence: Floats
) -> None:
    found = apply(calibration, confidence)
    assert np.all((found >= 0) & (found <= 1))
    assert np.all(np.diff(found[np.argsort(confidence)]) >= 0)


@given(st.lists(st.floats(0.001, 0.999), min_size=1).map(np.array))
def test_slope_one_and_intercept_zero_change_nothing(confidence: Floats) -> None:
    assert apply(Calibration(1, 0), confidence) == pytest.approx(confidence)


def test_error_of_probabilities_that_are_true() -> None:
    chance = np.random.default_rng(0)
    probability = chance.random(200_000)
    right = chance.random(200_000) < probability
    assert expected_calibration_error(probability, right) < 0.01


def test_error_by_hand() -> None:
    probability = np.array([0.9, 0.95, 0.1, 1.0, 0.0])
    right = np.array([True, False, False, True, True])
    # Bins: 0.9 to 1.0 holds 2.85 of confidence and 2 right; 0.1 one, and 0 right; 0.0 one, right.
    assert expected_calibration_error(probability, right) == pytest.approx((0.85 + 0.1 + 1) / 5)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_error_is_bounded(pairs: list[tuple[float, bool]]) -> None:
    probability, right = (np.array(values) for values in zip(*pairs, strict=True))
    error = expected_calibration_error(probability, right)
    assert abs(probability.mean() - right.mean()) - 1e-9 <= error <= 1


def test_words_keep_all_but_their_confidence() -> None:
    words = (TimedWord("uno", 0, 100, 0.9), TimedWord("due", 120, 300, 0.2))
    found = calibrated(words, Calibration(0.5, 1.0))
    assert [(w.text, w.start_ms, w.end_ms) for w in found] == [("uno", 0, 100), ("due", 120, 300)]
    assert found[0].confidence == pytest.approx(1 / (1 + math.exp(-0.5 * math.log(9) - 1)))
    assert share_right(found) == pytest.approx((found[0].confidence + found[1].confidence) / 2)


def test_without_calibration_words_stay() -> None:
    words = (TimedWord("uno", 0, 100, 0.9),)
    assert calibrated(words, None) == words
    assert calibrated((), Calibration(1, 0)) == ()
    assert share_right(()) == 0.0


@pytest.mark.parametrize(
    ("slope", "intercept"),
    [(math.nan, 0), (math.inf, 0), (0, 0), (-1, 0), (1, math.nan), (1, -math.inf)],
)
def test_bad_values_are_refused(slope: float, intercept: float) -> None:
    with pytest.raises(AdapterRefused, match="slope"):
        Calibration(slope, intercept)


def test_a_card_brings_its_calibration_back(tmp_path: Path) -> None:
    card = dataclasses.replace(read_card(MODELS / "en"), calibration=Calibration(0.5, -0.25))
    write_card(card, tmp_path)
    assert read_card(tmp_path) == card


@pytest.mark.parametrize(
    "value",
    [
        {"slope": math.nan, "intercept": 0.0},
        {"slope": -1.0, "intercept": 0.0},
        {"slope": "1", "intercept": 0.0},
        {"slope": 1.0},
        [1.0, 0.0],
    ],
)
def test_a_card_with_a_bad_calibration_is_refused(value: object, tmp_path: Path) -> None:
    document = dataclasses.asdict(read_card(MODELS / "en")) | {"calibration": value}
    (tmp_path / CARD_FILE).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(AdapterRefused, match=r"calibration|slope|intercept"):
        read_card(tmp_path)


def test_a_card_from_before_calibration_is_read(tmp_path: Path) -> None:
    document = dataclasses.asdict(read_card(MODELS / "en"))
    del document["calibration"]
    (tmp_path / CARD_FILE).write_text(json.dumps(document), encoding="utf-8")
    assert read_card(tmp_path).calibration is None


@pytest.mark.parametrize("language", ["en", "es", "fr", "it", "ru"])
def test_what_is_shipped_is_calibrated(language: str) -> None:
    card = read_card(MODELS / language)
    assert card.calibration is not None
    assert universal_calibration(card.base_fingerprint) is not None


def test_a_base_model_that_was_never_measured() -> None:
    assert universal_calibration("sha256:0") is None
