"""How many streams hold: which number to try next, and what the tries say. Pure.

A level has a few dozen utterances, and two late ones decide its 95th percentile. So a number counts
as held when it held twice, as failed when it failed twice: the best of three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.paced import Level

RUNS = 2
"""Tries that agree decide."""


def most_streams(levels: Sequence[Level], bound_ms: float) -> int:
    """The largest number below every number that failed; 0 if one stream did not hold."""
    held, failed = _tries(levels, bound_ms)
    limit = min((n for n in failed if failed[n] >= RUNS), default=1 + max(held, default=0))
    return max((n for n in held if n < limit), default=0)


def next_streams(
    levels: Sequence[Level], bound_ms: float, first: int, within: float = 0.1
) -> int | None:
    """Streams to try next: doubled, or halved, from `first`, then bisected, then confirmed.

    None when the answer is known to `within` this part of itself and has held `RUNS` times.
    """
    if not levels:
        return first
    held, failed = _tries(levels, bound_ms)
    if undecided := [n for n in failed if failed[n] < RUNS and held[n] < RUNS]:
        return min(undecided)
    low = most_streams(levels, bound_ms)
    high = min((n for n in failed if failed[n] >= RUNS), default=None)
    if high is None:
        return 2 * low
    if high - low > max(1, int(low * within)):
        return (low + high) // 2
    return low if low and held[low] < RUNS else None


def _tries(levels: Sequence[Level], bound_ms: float) -> tuple[Counter[int], Counter[int]]:
    """How often each number held, and failed."""
    held = Counter(level.streams for level in levels if level.holds(bound_ms))
    failed = Counter(level.streams for level in levels if not level.holds(bound_ms))
    return held, failed
