"""Step 3: framing of the detector, and that Silero stands behind it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import Samples
from gateway.detector import FRAME_SAMPLES, SpeechDetector


class MeanModel:
    """Answers with the mean of the frame, plus 1000 for each frame before it."""

    def __init__(self) -> None:
        self.count = 0

    def probability(self, frame: Samples) -> float:
        assert len(frame) == FRAME_SAMPLES
        self.count += 1
        return (self.count - 1) * 1000 + float(frame.mean())

    def reset(self) -> None:
        self.count = 0


@given(sizes=st.lists(st.integers(0, 1_500), max_size=12))
def test_every_sample_is_in_one_frame_whatever_the_chunks(sizes: list[int]) -> None:
    samples = np.arange(sum(sizes), dtype=np.float32)
    whole = len(samples) // FRAME_SAMPLES
    detector = SpeechDetector(MeanModel())
    got = []
    for chunk in np.split(samples, np.cumsum(sizes)[:-1]) if sizes else []:
        got += detector.feed(chunk)
    frames = samples[: whole * FRAME_SAMPLES].reshape(whole, FRAME_SAMPLES)
    expected = [1000 * index + float(frame.mean()) for index, frame in enumerate(frames)]
    assert got == pytest.approx(expected)
    assert detector.pending_samples == len(samples) - whole * FRAME_SAMPLES


def test_reset_forgets_samples_and_state() -> None:
    detector = SpeechDetector(MeanModel())
    detector.feed(np.ones(700, np.float32))
    detector.reset()
    assert detector.pending_samples == 0
    assert detector.feed(np.full(512, 0.5, np.float32)) == [0.5]


def test_what_is_kept_does_not_change_with_the_callers_array() -> None:
    detector = SpeechDetector(MeanModel())
    chunk = np.zeros(100, np.float32)
    detector.feed(chunk)
    chunk[:] = 9
    assert detector.feed(np.zeros(412, np.float32)) == [0.0]


def test_silero_hears_no_speech_in_silence_and_repeats_itself_after_reset() -> None:
    detector = SpeechDetector()
    noise = np.random.default_rng(0).normal(0, 0.1, 512 * 20).astype(np.float32)
    first = detector.feed(noise)
    assert len(first) == 20
    assert all(0 <= probability <= 1 for probability in first)
    assert max(detector.feed(np.zeros(512 * 20, np.float32))[10:]) < 0.1
    detector.reset()
    assert detector.feed(noise) == first
