"""How much a worker has to do, and when it has enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import Overloaded


class SpanCounter:
    """Counts spans under way and refuses more than `limit` of them."""

    def __init__(self, limit: int) -> None:
        """Admit `limit` spans at once."""
        self.limit = limit
        self.active = 0
        self.draining = False

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """One span for the duration; raises Overloaded when there are too many, or draining."""
        if self.draining:
            raise Overloaded("this worker is draining: send the span to another")
        if self.active >= self.limit:
            raise Overloaded(f"this worker has {self.limit} spans already: send it to another")
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1


def memory_bytes() -> int:
    """Resident set size of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096
