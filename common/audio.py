"""Audio between our services: 16 kHz mono, signed 16-bit little-endian on the wire."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from common.errors import InvalidRequest

SAMPLE_RATE_HZ = 16_000

Samples = npt.NDArray[np.float32]
"""float32 `[n_samples]`, 16 kHz mono, in [-1, 1]."""


def to_wire(samples: Samples) -> bytes:
    """Encode; what lies outside [-1, 1) is clipped. What came from 16 bits comes back unchanged."""
    pcm: npt.NDArray[np.int16] = (samples * 32768.0).round().clip(-32768, 32767).astype("<i2")
    return pcm.tobytes()


def from_wire(data: bytes) -> Samples:
    """Decode; raises InvalidRequest when the bytes are no whole number of samples."""
    if len(data) % 2:
        raise InvalidRequest(f"pcm_s16le holds {len(data)} bytes: give whole samples of 2 bytes")
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768.0


def milliseconds(n_samples: int) -> int:
    """Duration of `n_samples`, rounded down."""
    return n_samples * 1000 // SAMPLE_RATE_HZ
