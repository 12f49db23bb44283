"""Whatever a machine holds, the search finds it, in few tries."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.ladder import RUNS, most_streams, next_streams
from benchmarks.paced import Level

BOUND_MS = 500.0


def level(streams: int, p95_ms: float, error: str = "") -> Level:
    return Level(streams, (p95_ms,) * 20, wrong=0, words=1, errors=(error,) if error else ())


def climb(held: int, first: int) -> list[Level]:
    levels: list[Level] = []
    while (n := next_streams(levels, BOUND_MS, first)) is not None:
        levels.append(level(n, 400.0 if n <= held else 600.0))
        assert len(levels) < 60
    return levels


@settings(deadline=None, max_examples=60)
@given(held=st.integers(0, 200), first=st.integers(1, 64))
def test_it_finds_what_is_held_to_within_a_tenth(held: int, first: int) -> None:
    levels = climb(held, first)
    found = most_streams(levels, BOUND_MS)
    assert found <= held <= found + max(1, found // 10) - 1 or found == held
    assert sum(each.streams == found for each in levels) >= RUNS or found == 0


def test_two_of_three_tries_decide() -> None:
    tries = [level(4, 400.0), level(5, 600.0)]
    assert next_streams(tries, BOUND_MS, 1) == 5
    tries.append(level(5, 400.0))
    assert next_streams(tries, BOUND_MS, 1) == 5
    held, failed = [*tries, level(5, 400.0)], [*tries, level(5, 600.0)]
    assert most_streams(held, BOUND_MS) == 5
    assert next_streams(held, BOUND_MS, 1) == 10
    assert most_streams(failed, BOUND_MS) == 4
    assert next_streams(failed, BOUND_MS, 1) == 4


def test_a_stream_that_broke_off_fails_its_level() -> None:
    assert not level(3, 100.0, error="UNAVAILABLE").holds(BOUND_MS)


def test_what_never_came_back_is_late() -> None:
    heard = Level(1, (100.0,) * 18 + (math.inf,) * 2, wrong=0, words=1, errors=())
    assert not heard.holds(BOUND_MS)
    assert heard.row()["unanswered"] == 2
    assert heard.row()["latency_p95_ms"] is None
