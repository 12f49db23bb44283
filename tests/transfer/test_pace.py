"""A speaker's pace, from clips some of which say less than their text."""

from __future__ import annotations

import numpy as np
import pytest

from transfer.data.pace import pace_of


def test_the_line_is_the_speakers_though_one_clip_in_five_is_bad() -> None:
    chance = np.random.default_rng(0)
    letters = chance.integers(5, 60, size=100)
    seconds = (0.5 + 0.07 * letters) * chance.normal(1.0, 0.05, size=100)
    bad = np.arange(100) % 5 == 0
    seconds[bad] *= 0.3
    pace = pace_of(letters, seconds)
    assert pace.lead_s == pytest.approx(0.5, abs=0.1)
    assert pace.per_letter_s == pytest.approx(0.07, rel=0.1)
    found = pace.says_less(letters, seconds)
    assert not found[~bad].any()
    assert found[bad & (letters > 10)].all()


def test_a_short_word_said_quickly_is_no_fault() -> None:
    pace = pace_of(np.arange(5, 50), 0.5 + 0.07 * np.arange(5, 50))
    assert not pace.says_less(np.array([4]), np.array([0.35])).any()
    assert pace.says_less(np.array([40]), np.array([1.5])).all()


def test_speakers_who_always_say_the_same() -> None:
    pace = pace_of(np.full(40, 10), np.full(40, 1.0))
    assert not pace.says_less(np.full(40, 10), np.full(40, 1.0)).any()
