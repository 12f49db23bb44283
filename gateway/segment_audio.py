"""The audio of one segment and of its spans, kept until the final: a lost worker costs a replay."""

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
        self.end: int | None = None  # samples after which it ends, if it may
        # Doubled when full: read with every message sent, it must not be put together each time.
        self._buffer = np.empty(SAMPLE_RATE_HZ, np.float32)
        self._changed = asyncio.Event()

    @property
    def heard(self) -> int:
        """Samples that belong to it, as far as is known."""
        return self.n_samples if self.end is None else self.end

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


class SpanAudio:
    """What one span has of a segment's audio: from sample `first` on, and to `end` once it is cut.

    Positions are counted from the span's first sample.
    """

    def __init__(self, segment: SegmentAudio, first: int) -> None:
        self.first = first
        self._segment = segment
        self._end: int | None = None  # in the segment

    @property
    def n_samples(self) -> int:
        """What there is of it."""
        there = self._segment.n_samples
        return max((there if self._end is None else min(there, self._end)) - self.first, 0)

    def cut(self, end: int | None) -> None:
        """Let it end at sample `end` of the segment; None lets it go on."""
        self._end = end
        self.wake()

    def read(self, first: int, last: int) -> Samples:
        """Samples `[first, last)` of those there are."""
        last = min(last, self.n_samples)
        return self._segment.read(self.first + first, self.first + last)

    def wake(self) -> None:
        """Let whoever waits in `changed` look again."""
        self._segment.wake()

    async def changed(self) -> None:
        """Wait for more audio, or for `wake`."""
        await self._segment.changed()
