"""Recordings into streams that change language: trimmed, of one loudness, joined; and the truth."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.audio import SAMPLE_RATE_HZ

JOINTS = {"cross-faded": (-50, -20), "short pause": (200, 400), "long pause": (500, 600)}
"""Least and greatest gap between two spans, in ms; below 0 they overlap."""
LEAD_MS, TAIL_MS = (200, 500), 1000
"""Noise alone before the first span, and after the last, so that a pause ends it as live."""
SPEECH_DBFS, NOISE_DBFS = -26.0, -66.0
BELOW_PEAK_DB = 30.0
"""Recordings' own noise is 24 to 65 dB below their loudest 10 ms: what is above is speech."""
MARGIN_MS, FADE_MS = 20, 10
"""Kept on both sides of the speech for soft onsets; ramped, so that no cut clicks."""
_MS = SAMPLE_RATE_HZ // 1000
_FRAME_MS = 10

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Recording:
    """What one voice says: float32 `[n_samples]` at 16 kHz, as `prepared` makes it."""

    language: str
    voice: str
    text: str
    samples: Samples

    @property
    def ms(self) -> int:
        """Its length; samples are whole milliseconds."""
        return len(self.samples) // _MS

    def followed_by(self, other: Recording, gap_ms: int) -> Recording:
        """Both as one, of the same voice, with silence between them."""
        gap = np.zeros(gap_ms * _MS, np.float32)
        samples = np.concatenate([self.samples, gap, other.samples])
        return Recording(self.language, self.voice, f"{self.text} {other.text}", samples)


@dataclass(frozen=True)
class Span:
    """What is truly spoken from `start_ms` up to `end_ms` of a stream."""

    language: str
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True)
class Kind:
    """Streams that are reported together; `joint` is one of `JOINTS`."""

    languages: str
    joint: str


@dataclass(frozen=True)
class Stream:
    """s16le at 16 kHz mono, and the truth about it."""

    kind: Kind
    pcm: bytes
    spans: tuple[Span, ...]

    @property
    def duration_ms(self) -> int:
        """Of all of it, noise at both ends included."""
        return len(self.pcm) // 2 // _MS

    @property
    def text(self) -> str:
        """All true words, in order."""
        return " ".join(span.text for span in self.spans)

    def cut(self, span: Span) -> bytes:
        """The audio of one span, by its true boundaries."""
        return self.pcm[2 * _MS * span.start_ms : 2 * _MS * span.end_ms]


def prepared(samples: Samples) -> Samples:
    """Trim silence from both ends, match loudness, ramp both ends; whole milliseconds.

    Speech is what is within 30 dB of the loudest 10 ms; its RMS becomes -26 dBFS, less where a peak
    would be clipped. Nothing is left where there is no sound.
    """
    frame = _FRAME_MS * _MS
    framed = samples[: len(samples) // frame * frame].reshape(-1, frame).astype(np.float64)
    energy = np.square(framed).mean(axis=1)
    if not energy.any():
        return np.zeros(0, np.float32)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-BELOW_PEAK_DB / 10))
    start = max(0, int(loud[0]) * frame - MARGIN_MS * _MS)
    end = min(framed.size, (int(loud[-1]) + 1) * frame + MARGIN_MS * _MS)
    cut = samples[start:end]
    gain = 10 ** (SPEECH_DBFS / 20) / math.sqrt(energy[loud].mean())
    gain = min(gain, 0.99 / float(np.abs(cut).max()))
    return _ramped((cut * gain).astype(np.float32), FADE_MS, FADE_MS)


def joined(kind: Kind, parts: Sequence[Recording], draw: random.Random) -> Stream:
    """The parts one after another over noise; where two overlap, the boundary is the middle."""
    starts = [draw.randint(*LEAD_MS)]
    gaps = [draw.randint(*JOINTS[kind.joint]) for _ in parts[1:]]
    for part, gap in zip(parts, gaps, strict=False):
        starts.append(starts[-1] + part.ms + gap)
    length = starts[-1] + parts[-1].ms + TAIL_MS
    noise = np.random.default_rng(draw.getrandbits(64)).standard_normal(length * _MS)
    mixed = noise * 10 ** (NOISE_DBFS / 20)
    spans = []
    overlaps = [0, *(max(0, -gap) for gap in gaps), 0]
    for part, start, before, after in zip(parts, starts, overlaps, overlaps[1:], strict=False):
        mixed[start * _MS : (start + part.ms) * _MS] += _ramped(part.samples, before, after)
        end = start + part.ms - (after - after // 2)
        spans.append(Span(part.language, start + before // 2, end, part.text))
    pcm = (np.clip(mixed, -1.0, 1.0) * 32767).round().astype("<i2").tobytes()
    return Stream(kind, pcm, tuple(spans))


def _ramped(samples: Samples, rise_ms: int, fall_ms: int) -> Samples:
    """Faded in and out at equal power: two voices that overlap are as loud as one."""
    faded = samples.copy()
    for ramp_ms, part in ((rise_ms, faded), (fall_ms, faded[::-1])):
        n = min(ramp_ms * _MS, len(part))
        part[:n] *= np.sqrt(np.arange(n) / max(1, n)).astype(np.float32)
    return faded
