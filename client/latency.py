"""How long after the end of speech a final arrives. Shared by the demo and the benchmarks."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 10
BELOW_PEAK_DB = 40.0


def speech_end_ms(samples: NDArray[Any], sample_rate_hz: int) -> int:
    """Where speech ends in a recording that ends in silence or noise.

    The end of the last 10 ms frame whose energy is within 40 dB of the loudest frame's.

    Args:
        samples: mono, `[n_samples]`, of any real dtype; its scale does not matter.

    Returns:
        Milliseconds from the first sample; 0 if there is no sound at all.
    """
    frame = sample_rate_hz * FRAME_MS // 1000
    n_frames = len(samples) // frame
    framed = samples[: n_frames * frame].reshape(n_frames, frame).astype(np.float64)
    energy = np.square(framed).mean(axis=1)
    if n_frames == 0 or energy.max() == 0:
        return 0
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-BELOW_PEAK_DB / 10))
    return (int(loud[-1]) + 1) * FRAME_MS


class SendLog:
    """When each stretch of a stream's audio was sent, on any one clock, in seconds."""

    def __init__(self) -> None:
        self._until_ms: list[float] = []
        self._at_s: list[float] = []

    def sent(self, until_ms: float, at_s: float) -> None:
        """Audio up to `until_ms` of the stream was sent at `at_s`; call in order."""
        self._until_ms.append(until_ms)
        self._at_s.append(at_s)

    def sent_at_s(self, audio_ms: float) -> float:
        """When the sample at `audio_ms` was sent; raises ValueError if it was not."""
        index = bisect_left(self._until_ms, audio_ms)
        if index == len(self._until_ms):
            raise ValueError(f"no audio was sent at {audio_ms} ms")
        return self._at_s[index]
