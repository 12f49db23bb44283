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
        self._chunks: list[Samples] = []
        self.n_samples = 0
        self._changed = asyncio.Event()

    def append(self, samples: Samples) -> None:
        """Add what was heard next."""
        self._chunks.append(samples)
        self.n_samples += len(samples)
        self.wake()

    def read(self, first: int, last: int) -> Samples:
        """Samples `[first, last)`, counted from the segment's start."""
        if len(self._chunks) > 1:
            self._chunks = [np.concatenate(self._chunks)]
        return self._chunks[0][first:last] if self._chunks else np.zeros(0, np.float32)

    def duration_ms(self) -> int:
        """How much there is."""
        return self.n_samples * 1000 // SAMPLE_RATE_HZ

    def wake(self) -> None:
        """Let whoever waits in `changed` look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for more audio, or for `wake`."""
        await self._changed.wait()
