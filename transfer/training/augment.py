"""What a clip sounds like elsewhere: faster or slower, in a noisy room, over a telephone.

Speed perturbation: Ko et al., "Audio augmentation for speech recognition" (2015).
"""

from __future__ import annotations

import numpy as np
import soxr

from speech.features import SAMPLE_RATE_HZ
from transfer.data.audio import Samples

TELEPHONE_SHARE = 0.2
"""Of disturbed clips, those that pass a telephone's band."""
_TELEPHONE_HZ = 8000
_LONGEST_SILENCE_S = 0.4
_GAIN_DB = (-8.0, 4.0)
_SNR_DB = (10.0, 45.0)
_STEEPEST = 1.0
"""Noise falls with frequency to at most this power: 0 is white, 1 has a pink amplitude."""


def disturbed(samples: Samples, speed: float, chance: np.random.Generator) -> Samples:
    """The clip at another speed, with silence around it, another loudness, noise, another band.

    At serving the segmenter's cut is never as tidy as a corpus, and microphones differ.

    Args:
        samples: float32 `[n_samples]` at 16 kHz.
        speed: above 1 is faster, and higher.
        chance: all that is random.
    """
    heard: Samples = soxr.resample(samples, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ)
    before, after = chance.integers(0, int(_LONGEST_SILENCE_S * SAMPLE_RATE_HZ), size=2)
    heard = np.pad(heard, (before, after)) * 10 ** (chance.uniform(*_GAIN_DB) / 20)
    loudness = float(np.sqrt(np.mean(np.square(heard)))) if len(heard) else 0.0
    hiss = noise(len(heard), chance.uniform(0.0, _STEEPEST), chance)
    heard = heard + hiss * loudness * 10 ** (-chance.uniform(*_SNR_DB) / 20)
    if chance.random() < TELEPHONE_SHARE:
        heard = telephone_band(heard.astype(np.float32))
    return np.asarray(np.clip(heard, -1.0, 1.0), np.float32)


def telephone_band(samples: Samples) -> Samples:
    """What is left of 16 kHz audio after 8 kHz: float32 of the same length."""
    narrow = soxr.resample(samples, SAMPLE_RATE_HZ, _TELEPHONE_HZ)
    wide = soxr.resample(narrow, _TELEPHONE_HZ, SAMPLE_RATE_HZ)[: len(samples)]
    return np.pad(wide, (0, len(samples) - len(wide))).astype(np.float32)


def noise(n_samples: int, steepness: float, chance: np.random.Generator) -> Samples:
    """Noise of unit power whose amplitude falls as frequency to the power of `steepness`."""
    if n_samples < 2:
        return np.zeros(n_samples, np.float32)
    spectrum = np.fft.rfft(chance.standard_normal(n_samples))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** -steepness
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, n_samples)
    return (noise / max(float(noise.std()), 1e-9)).astype(np.float32)
