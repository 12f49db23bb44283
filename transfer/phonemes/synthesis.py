"""Clips read by espeak-ng: for trying out what no real speech is at hand for, labelled as such.

A model that hears synthetic speech well has not shown that it hears people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from speech.features import SAMPLE_RATE_HZ
from transfer.data.audio import Samples, write_flac
from transfer.data.manifest import Clip, Split
from transfer.phonemes.g2p import GraphemeToPhoneme

SOURCE = "espeak-ng, synthetic"
_LOUDEST = 32768


@dataclass(frozen=True)
class Speaker:
    """One way to read: `variant` as the library names it, speed in words a minute, pitch 0–99."""

    variant: str
    words_per_minute: int = 165
    pitch: int = 50


SPEAKERS = (Speaker("f2"), Speaker("m3", 150, 40), Speaker("f4", 180, 60), Speaker("m7", 140, 45))


def speak(text: str, g2p: GraphemeToPhoneme, speaker: Speaker) -> Samples:
    """The text as `speaker` reads it: float32 `[n_samples]` at 16 kHz.

    Raises:
        PhonemesUnavailable: the voice or its variant is missing.
    """
    said = g2p.library.speech(
        text,
        f"{g2p.voice.name}+{speaker.variant}",
        words_per_minute=speaker.words_per_minute,
        pitch=speaker.pitch,
    )
    samples = np.frombuffer(said, np.int16).astype(np.float32) / _LOUDEST
    resampled: Samples = soxr.resample(samples, g2p.library.rate_hz, SAMPLE_RATE_HZ)
    return resampled


def spoken_clips(
    texts: Sequence[str],
    split: Split,
    g2p: GraphemeToPhoneme,
    folder: Path,
    speakers: Sequence[Speaker] = SPEAKERS,
) -> list[Clip]:
    """A clip of each text, by the speakers in turn, as FLAC files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for number, text in enumerate(texts):
        speaker = speakers[number % len(speakers)]
        samples = speak(text, g2p, speaker)
        path = folder / f"{split}-{number:05}.flac"
        write_flac(path, samples)
        seconds = len(samples) / SAMPLE_RATE_HZ
        clips.append(Clip(str(path), text, g2p.language, seconds, SOURCE, speaker.variant, split))
    return clips
