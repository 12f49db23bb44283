"""The audio of one segment, kept until its final is there: a lost worker costs a replay."""

from __future__ import annotations

import asyncio

import numpy as np

from common.audio import SAMPLE_RATE_HZ, Samples


class SegmentAudio:
    """Grows while somebody speaks; any number of readers follow it."""

    def __init__(self, start: int) -> None:
        """Begin at sample `start` of the stream."""
        self.start = start
        self.n_samples = 0
        # Doubled when full: read with every message sent, it must not be put together each time.
        self._buffer = np.empty(SAMPLE_RATE_HZ, np.float32)
        self._changed = asyncio.Event()

    def append(self, samples: Samples) -> None:
        """Add what was heard next."""
        end = self.n_samples + len(samples)
        if end > len(self._buffer):
            grown = np.empty(max(end, 2 * len(self._buffer)), np.float32)
            grown[: self.n_samples] = self._buffer[: self.n_samples]
            self._buffer = grown
        self._buffer[self.n_samples : end] = samples
        self.n_samples = end
        self.wake()

    def read(self, first: int, last: int) -> Samples:
        """Samples `[first, last)` of those there are, counted from the segment's start."""
        return self._buffer[first : min(last, self.n_samples)]

    def wake(self) -> None:
        """Let whoever waits in `changed` look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for more audio, or for `wake`."""
        await self._changed.wait()
