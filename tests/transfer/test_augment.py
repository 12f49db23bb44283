"""Disturbed clips: what changes, what stays."""

from __future__ import annotations

import numpy as np
import pytest

from speech.features import SAMPLE_RATE_HZ
from transfer.data.audio import Samples
from transfer.training.augment import disturbed, telephone_band


def tone(hz: float, seconds: float = 1.0) -> Samples:
    return np.sin(
        2 * np.pi * hz * np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    ).astype(np.float32)


def power(samples: Samples) -> float:
    return float(np.mean(np.square(samples)))


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_another_speed_is_another_duration_and_pitch(speed: float) -> None:
    heard = disturbed(0.5 * tone(1000), speed, np.random.default_rng(0))
    at_most = SAMPLE_RATE_HZ / speed + 0.8 * SAMPLE_RATE_HZ
    assert SAMPLE_RATE_HZ / speed - 2 <= len(heard) <= at_most
    spectrum = np.abs(np.fft.rfft(heard))
    loudest_hz = np.argmax(spectrum) * SAMPLE_RATE_HZ / len(heard)
    assert loudest_hz == pytest.approx(1000 * speed, rel=0.01)


def test_the_seed_decides() -> None:
    first, again, other = (
        disturbed(tone(500), 1.1, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert len(first) != len(other) or not np.array_equal(first, other)


def test_what_leaves_is_audio() -> None:
    for seed in range(20):
        heard = disturbed(tone(300), 0.9, np.random.default_rng(seed))
        assert heard.dtype == np.float32
        assert np.abs(heard).max() <= 1.0
        assert power(heard) > 0.01


@pytest.mark.parametrize("n_samples", [0, 1, 2, 10])
def test_next_to_nothing(n_samples: int) -> None:
    heard = disturbed(np.zeros(n_samples, np.float32), 0.9, np.random.default_rng(3))
    assert np.isfinite(heard).all()


def test_a_telephone_keeps_what_is_low_and_loses_what_is_high() -> None:
    assert power(telephone_band(tone(1000))) == pytest.approx(0.5, rel=0.05)
    assert power(telephone_band(tone(6000))) < 1e-3
    assert len(telephone_band(tone(1000, 0.777))) == len(tone(1000, 0.777))
