"""Synthetic clips, where espeak-ng is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transfer.data.audio import read_audio
from transfer.phonemes.g2p import open_g2p
from transfer.phonemes.synthesis import SOURCE, SPEAKERS, speak, spoken_clips

pytest.importorskip("espeakng_loader")


def test_speakers_read_the_same_text_differently() -> None:
    g2p = open_g2p("vi")
    first, second = (speak("tôi là người việt nam", g2p, speaker) for speaker in SPEAKERS[:2])
    assert first.dtype == np.float32
    assert 0.5 < len(first) / 16_000 < 5.0
    assert 0.05 < np.abs(first).max() <= 1.0
    assert len(first) != len(second)
    # Its noises differ from call to call, not how long they last.
    assert len(speak("tôi là người việt nam", g2p, SPEAKERS[0])) == len(first)
    # Reading aloud does not change what is read off the text afterwards.
    assert g2p.phonemes("nam") == open_g2p("vi").phonemes("nam")


def test_clips_say_that_they_are_synthetic(tmp_path: Path) -> None:
    clips = spoken_clips(["你好", "谢谢", "再见"], "development", open_g2p("cmn"), tmp_path / "a")
    assert {clip.source for clip in clips} == {SOURCE}
    assert [clip.speaker for clip in clips] == ["f2", "m3", "f4"]
    assert {clip.split for clip in clips} == {"development"}
    for clip in clips:
        assert len(read_audio(clip.audio)) / 16_000 == pytest.approx(clip.duration_s)
