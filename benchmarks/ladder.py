"""How many streams hold: which number to try next, and what the tries say. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.paced import Level

RUNS = 2
"""A number of streams counts as held when it held so many times."""


def most_streams(levels: Sequence[Level], bound_ms: float) -> int:
    """The largest number below every number that failed; 0 if one stream did not hold."""
    failed = [level.streams for level in levels if not level.holds(bound_ms)]
    limit = min(failed, default=max((level.streams for level in levels), default=0) + 1)
    return max((level.streams for level in levels if level.streams < limit), default=0)


def next_streams(levels: Sequence[Level], bound_ms: float, first: int) -> int | None:
    """Streams to try next: doubled, or halved, from `first`, then bisected, then confirmed.

    None when the answer is known to within a tenth of itself and has held `RUNS` times.
    """
    if not levels:
        return first
    failed = [level.streams for level in levels if not level.holds(bound_ms)]
    low = most_streams(levels, bound_ms)
    if not failed:
        return 2 * low
    high = min(failed)
    if high - low > max(1, low // 10):
        return (low + high) // 2
    runs = sum(level.streams == low for level in levels)
    return low if low and runs < RUNS else None
