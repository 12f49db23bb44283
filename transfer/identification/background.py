"""Sounds in which nobody speaks: silence, noise, tones, keys of a telephone, music.

All of them made here; they teach the background class what no language is.
"""

from __future__ import annotations

import numpy as np

from speech.features import SAMPLE_RATE_HZ
from transfer.data.audio import Samples
from transfer.training.augment import noise

_LOW_KEYS_HZ, _HIGH_KEYS_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
"""Of DTMF, ITU-T Q.23."""
_SEMITONE = 2 ** (1 / 12)


def background(n_samples: int, chance: np.random.Generator) -> Samples:
    """One sound, float32 `[n_samples]` at 16 kHz."""
    kinds = (_near_silence, _hiss, _rumbling, _tone, _keys, _music, _clicks)
    sound = kinds[int(chance.integers(len(kinds)))](n_samples, chance)
    return np.asarray(np.clip(sound, -1.0, 1.0), np.float32)


def _near_silence(n_samples: int, chance: np.random.Generator) -> Samples:
    return noise(n_samples, chance.uniform(0.0, 1.0), chance) * np.float32(
        chance.choice([0.0, 1e-4, 1e-3])
    )


def _hiss(n_samples: int, chance: np.random.Generator) -> Samples:
    return noise(n_samples, chance.uniform(0.0, 1.0), chance) * np.float32(
        chance.uniform(0.005, 0.2)
    )


def _rumbling(n_samples: int, chance: np.random.Generator) -> Samples:
    """Noise that swells and fades, as of traffic or wind."""
    points = chance.uniform(0.1, 1.0, max(2, n_samples // (SAMPLE_RATE_HZ // 4)))
    swell = np.interp(np.linspace(0, len(points) - 1, n_samples), np.arange(len(points)), points)
    return _hiss(n_samples, chance) * swell.astype(np.float32)


def _tone(n_samples: int, chance: np.random.Generator) -> Samples:
    """A steady tone or two: dialling, ringing, a whistle."""
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    pitches = np.exp(chance.uniform(np.log(150), np.log(3500), chance.integers(1, 3)))
    sound = sum(np.sin(2 * np.pi * pitch * time_s) for pitch in pitches)
    if chance.random() < 0.5:
        sound = sound * (np.sin(2 * np.pi * chance.uniform(0.5, 8.0) * time_s) > 0)
    return np.asarray(sound * chance.uniform(0.02, 0.4), np.float32)


def _keys(n_samples: int, chance: np.random.Generator) -> Samples:
    sound = np.zeros(n_samples)
    at = int(chance.integers(0, 800))
    while at < n_samples:
        length = int(chance.uniform(0.05, 0.3) * SAMPLE_RATE_HZ)
        time_s = np.arange(min(length, n_samples - at)) / SAMPLE_RATE_HZ
        for pitch in (chance.choice(_LOW_KEYS_HZ), chance.choice(_HIGH_KEYS_HZ)):
            sound[at : at + len(time_s)] += np.sin(2 * np.pi * pitch * time_s)
        at += length + int(chance.uniform(0.03, 0.3) * SAMPLE_RATE_HZ)
    return np.asarray(sound * chance.uniform(0.02, 0.4), np.float32)


def _music(n_samples: int, chance: np.random.Generator) -> Samples:
    """Chords of plucked or held notes with overtones, one after another."""
    sound = np.zeros(n_samples)
    root = chance.uniform(80, 400)
    at, beat = 0, int(chance.uniform(0.12, 0.7) * SAMPLE_RATE_HZ)
    brightness, decay = chance.uniform(0.3, 0.8), chance.uniform(0.5, 8.0)
    while at < n_samples:
        time_s = np.arange(min(4 * beat, n_samples - at)) / SAMPLE_RATE_HZ
        envelope = np.exp(-decay * time_s) * np.minimum(1, time_s * 100)
        for step in chance.choice([0, 2, 4, 5, 7, 9, 11, 12], chance.integers(1, 4)):
            pitch = root * _SEMITONE**step
            for overtone in range(1, 8):
                if pitch * overtone < SAMPLE_RATE_HZ / 2:
                    wave = np.sin(2 * np.pi * pitch * overtone * time_s)
                    sound[at : at + len(time_s)] += brightness**overtone * wave * envelope
        if chance.random() < 0.3:
            sound[at : at + len(time_s)] += noise(len(time_s), 0.0, chance) * np.exp(-40 * time_s)
        at += beat
    return np.asarray(
        sound * (chance.uniform(0.05, 0.8) / max(np.abs(sound).max(), 1e-9)), np.float32
    )


def _clicks(n_samples: int, chance: np.random.Generator) -> Samples:
    """A keyboard, knocks, steps."""
    sound = np.zeros(n_samples)
    for at in chance.integers(
        0, n_samples, max(1, int(n_samples / SAMPLE_RATE_HZ * chance.uniform(1, 9)))
    ):
        length = min(int(chance.uniform(0.005, 0.08) * SAMPLE_RATE_HZ), n_samples - int(at))
        burst = noise(length, chance.uniform(0.0, 1.0), chance)
        sound[at : at + length] += burst * np.exp(-5 * np.arange(length) / max(length, 1))
    return np.asarray(
        sound * (chance.uniform(0.05, 0.8) / max(np.abs(sound).max(), 1e-9)), np.float32
    )
