"""What several of the client's tests need: a gateway to talk to, and a sound to send."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.client.fake_gateway import FakeGateway, fake_gateway


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """One that hears an English and a Spanish segment in everything."""
    with fake_gateway() as running:
        yield running


def tone(sample_rate_hz: int, duration_ms: int) -> bytes:
    """440 Hz, s16le mono."""
    times = np.arange(sample_rate_hz * duration_ms // 1000) / sample_rate_hz
    return (8000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes()


def write_wav(path: Path, pcm: bytes, sample_rate_hz: int = 16_000, channels: int = 1) -> Path:
    """A wav file of 16-bit samples."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm)
    return path


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """1.25 s of a tone at 16 kHz."""
    return write_wav(tmp_path / "tone.wav", tone(16_000, 1250))
