"""Audio of a stream, in windows that overlap. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.audio import SAMPLE_RATE_HZ, Samples, from_wire, milliseconds
from common.errors import InvalidRequest

MIN_SAMPLES = SAMPLE_RATE_HZ // 10
MIN_MS, MAX_MS = milliseconds(MIN_SAMPLES), 30_000

_BYTES = 2  # of a sample


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch of a stream.

    Attributes:
        start: sample it begins with, counted from the stream's first.
        samples: float32 `[n_samples]`.
    """

    start: int
    samples: Samples

    @property
    def end(self) -> int:
        """Sample it ends before."""
        return self.start + len(self.samples)


class SlidingWindows:
    """Keeps no more than a window and what was fed last."""

    def __init__(self, n_window: int, n_hop: int) -> None:
        """Windows of `n_window` samples, each `n_hop`, not more than that, after the last."""
        self._n_window = n_window
        self._n_hop = n_hop
        self._start = 0
        self._pcm = bytearray()  # from `_start` on

    def feed(self, pcm: bytes) -> Iterator[Window]:
        """The windows that are full with the next bytes; take them before feeding more."""
        self._pcm += pcm
        while len(self._pcm) >= self._n_window * _BYTES:
            yield Window(self._start, from_wire(bytes(self._pcm[: self._n_window * _BYTES])))
            del self._pcm[: self._n_hop * _BYTES]
            self._start += self._n_hop

    def flush(self) -> Iterator[Window]:
        """The stream ended: a last, shorter window, where it has audio that none had.

        Raises:
            InvalidRequest: the stream ended within a sample, or is too short to tell anything.
        """
        n_told = self._n_window - self._n_hop if self._start else 0
        rest = from_wire(bytes(self._pcm))
        if not self._start and len(rest) < MIN_SAMPLES:
            raise InvalidRequest(
                f"the stream holds {milliseconds(len(rest))} ms of audio: give {MIN_MS} or more"
            )
        if len(rest) > max(n_told, MIN_SAMPLES - 1):
            yield Window(self._start, rest)
