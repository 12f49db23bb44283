"""Sending as slowly as a microphone would. No I/O: the caller does the waiting."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pacer:
    """Says how long to wait so that audio leaves no earlier than a microphone would give it.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start_s: float | None = None

    def delay_s(self, audio_ms: float) -> float:
        """Seconds from now until the first `audio_ms` of the stream exist; 0 when they are due.

        The clock starts with the first call: the piece of 100 ms it is asked about takes 100 ms to
        be spoken. Waiting late once does not make later pieces late.
        """
        now = self._clock()
        if self._start_s is None:
            self._start_s = now
        return max(0.0, self._start_s + audio_ms / 1000 - now)
