"""What a window may sound like at serving: any voice, room and line, from anywhere in a clip.

Of most languages one speaker is at hand. A head that heard only that voice would know the voice, so
every crop changes what tells speakers and corpora apart, and leaves what tells languages apart.
Speed: Ko et al., "Audio augmentation for speech recognition" (2015). Rooms: Ko et al., "A study on
data augmentation of reverberant speech" (2017), with drawn decays in place of measured ones.
"""

from __future__ import annotations

import numpy as np
import soxr

from speech.features import SAMPLE_RATE_HZ
from transfer.data.audio import Samples
from transfer.training.augment import noise

CROP_S = (0.5, 4.0)
_SPEED = (0.78, 1.3)
_COLOUR_SHARE, _COLOUR_DB, _COLOUR_BANDS = 0.8, (1.0, 6.0), 9
_COLOUR_TAPS = 512
_ROOM_SHARE, _ROOM_S, _ROOM_LEVEL = 0.5, (0.1, 0.5), (0.1, 0.8)
_NOISE_SHARE, _SNR_DB = 0.8, (5.0, 40.0)
_LINE_SHARE, _LINES_HZ = 0.35, (6000, 7000, 8000, 8000, 10_000, 12_000)
_PEAK = (0.05, 0.95)
_DECAY = 6.9
"""Natural log of the thousandth to which a room's echo falls in its reverberation time."""
_FRAME = SAMPLE_RATE_HZ // 50
_SILENT = 1e-3
"""Of the loudest frame's power: what is below at either end of a clip is no speech."""


def speech_of(samples: Samples) -> Samples:
    """A clip without the silence before and after, float32 `[n_samples]` at 16 kHz."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(power > _SILENT * power.max(initial=0.0))
    return samples[loud[0] * _FRAME : (loud[-1] + 1) * _FRAME] if len(loud) else samples


def crop(samples: Samples, chance: np.random.Generator) -> Samples:
    """Half a second to four of somebody else saying it somewhere else; float32 at 16 kHz."""
    heard: Samples = samples
    speed = float(np.exp(chance.uniform(*np.log(_SPEED))))
    length = int(np.exp(chance.uniform(*np.log(CROP_S))) * SAMPLE_RATE_HZ)
    taken = int(length * speed) + 1
    first = int(chance.integers(0, max(1, len(heard) - taken + 1)))
    heard = soxr.resample(heard[first : first + taken], SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ)
    if chance.random() < _COLOUR_SHARE:
        heard = _coloured(heard, chance)
    if chance.random() < _ROOM_SHARE:
        heard = _in_a_room(heard, chance)
    if chance.random() < _NOISE_SHARE:
        loudness = float(np.sqrt(np.square(heard).mean()))
        level = loudness * 10 ** (-chance.uniform(*_SNR_DB) / 20)
        heard = heard + noise(len(heard), chance.uniform(0.0, 1.0), chance) * level
    if chance.random() < _LINE_SHARE:
        heard = _over_a_line(heard, int(chance.choice(_LINES_HZ)))
    heard = heard * (chance.uniform(*_PEAK) / max(float(np.abs(heard).max(initial=0.0)), 1e-9))
    return np.asarray(heard, np.float32)


def _coloured(samples: Samples, chance: np.random.Generator) -> Samples:
    """Through a smooth drawn filter, as of another microphone."""
    depth = chance.uniform(*_COLOUR_DB)
    bands = chance.normal(0.0, depth, _COLOUR_BANDS)
    n_bins = _COLOUR_TAPS // 2 + 1
    gains = np.interp(np.linspace(0, _COLOUR_BANDS - 1, n_bins), np.arange(_COLOUR_BANDS), bands)
    taps = np.roll(np.fft.irfft(10 ** (gains / 20)), _COLOUR_TAPS // 2) * np.hanning(_COLOUR_TAPS)
    return _filtered(samples, taps / np.sqrt(np.square(taps).sum()), _COLOUR_TAPS // 2)


def _in_a_room(samples: Samples, chance: np.random.Generator) -> Samples:
    n_taps = int(chance.uniform(*_ROOM_S) * SAMPLE_RATE_HZ)
    echo = chance.standard_normal(n_taps) * np.exp(-_DECAY * np.arange(n_taps) / n_taps)
    echo *= chance.uniform(*_ROOM_LEVEL) / np.sqrt(np.square(echo).sum())
    return samples + _filtered(samples, echo, 0)


def _over_a_line(samples: Samples, rate_hz: int) -> Samples:
    narrow = soxr.resample(samples, SAMPLE_RATE_HZ, rate_hz)
    wide = soxr.resample(narrow, rate_hz, SAMPLE_RATE_HZ)[: len(samples)]
    return np.asarray(np.pad(wide, (0, len(samples) - len(wide))), np.float32)


def _filtered(
    samples: Samples, taps: np.ndarray[tuple[int], np.dtype[np.float64]], delay: int
) -> Samples:
    size = 1 << (len(samples) + len(taps) - 1).bit_length()
    whole = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(taps, size), size)
    return np.asarray(whole[delay : delay + len(samples)], np.float32)
