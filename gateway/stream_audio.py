"""The last seconds of a stream: what a segment that begins in the past is cut from."""

from __future__ import annotations

from collections import deque

import numpy as np

from common.audio import Samples


class StreamAudio:
    """A rolling buffer on the stream's sample clock."""

    def __init__(self, n_kept: int) -> None:
        """Keep at least the last `n_kept` samples."""
        self._n_kept = n_kept
        self._chunks: deque[Samples] = deque()
        self._first = 0
        self.end = 0

    def append(self, samples: Samples) -> None:
        """Add what was heard next."""
        self._chunks.append(samples)
        self.end += len(samples)
        while self.end - self._first - len(self._chunks[0]) >= self._n_kept:
            self._first += len(self._chunks.popleft())

    def since(self, start: int) -> Samples:
        """Samples from position `start` of the stream to now; raises ValueError if it is gone."""
        if start < self._first:
            raise ValueError(f"sample {start} is gone: the buffer begins at {self._first}")
        return np.concatenate(self._chunks)[start - self._first :]
