"""Step 4: what is judged when, and where a change is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.windows import Stretch, around, next_stretch, quietest

MS = 16
SECOND = 1000 * MS


def ms(stretch: Stretch | None) -> tuple[int, int] | None:
    """First and last, in milliseconds."""
    return None if stretch is None else (stretch.first // MS, stretch.last // MS)


def walk(there_ms: int, end_ms: int | None, judged_ms: int = 0) -> list[tuple[int, int]]:
    """All that is judged of what is there."""
    stretches = []
    judged, end = judged_ms * MS, None if end_ms is None else end_ms * MS
    while judged != end and (stretch := next_stretch(judged, there_ms * MS, end)) is not None:
        judged = stretch.last
        stretches.append((stretch.first // MS, stretch.last // MS))
        assert len(stretches) < 100
    return stretches


@pytest.mark.parametrize(
    ("judged", "there", "end", "expected"),
    [
        pytest.param(0, 999, None, None, id="too little to begin with"),
        pytest.param(0, 1000, None, (0, 1000), id="the first second"),
        pytest.param(1000, 1999, None, None, id="too little news"),
        pytest.param(1000, 2000, None, (0, 2000), id="a second of news"),
        pytest.param(2000, 3000, None, (1000, 3000), id="not of all that was said"),
        pytest.param(1000, 9000, None, (0, 2000), id="step by step through what is there"),
        pytest.param(0, 100, 100, (0, 100), id="a short segment"),
        pytest.param(0, 9000, 700, (0, 700), id="audio that is beyond the end"),
        pytest.param(1500, 2300, 2300, (300, 2300), id="the end at once"),
        pytest.param(2300, 2300, 2300, (300, 2300), id="it was judged, but not as the end"),
        pytest.param(1500, 9000, 9000, (500, 2500), id="an end far ahead"),
        pytest.param(5000, 5000, 4200, (2200, 4200), id="an end before what was judged"),
    ],
)
def test_next(judged: int, there: int, end: int | None, expected: tuple[int, int] | None) -> None:
    stretch = next_stretch(judged * MS, there * MS, None if end is None else end * MS)
    assert ms(stretch) == expected


@given(st.integers(1, 30_000), st.integers(0, 2000), st.booleans())
def test_every_moment_is_judged_up_to_the_end(there: int, beyond: int, ends: bool) -> None:
    stretches = walk(there + beyond, there if ends else None)
    covered = 0
    for first, last in stretches:
        assert first <= covered < last
        covered = last
    if ends:
        assert covered == there
    else:
        assert there + beyond - covered < 1000


def test_a_segment_hears_every_moment_twice_and_no_more_when_it_is_behind() -> None:
    stretches = walk(15_000, 15_000)
    assert stretches == walk(15_000, None)
    assert len(stretches) < 20
    for moment in range(0, 14_000, 100):
        assert sum(first <= moment < last for first, last in stretches) >= 2, moment


@pytest.mark.parametrize("change_ms", [0, 300, 1000, 2500, 4700, 5000])
def test_around_a_change(change_ms: int) -> None:
    stretches = around(change_ms, 5000 * MS)
    for stretch in stretches:
        assert 0 <= stretch.first < stretch.last <= 5000 * MS
        assert (change_ms - 1500) * MS <= stretch.first
        assert stretch.last <= (change_ms + 1500) * MS
    assert [one.first for one in stretches] == sorted({one.first for one in stretches})


def test_a_change_in_the_open_is_seen_from_both_sides() -> None:
    stretches = around(2500, 5000 * MS)
    assert len(stretches) >= 3
    assert {one.n_samples for one in stretches} == {stretches[0].n_samples}
    before = [2500 * MS - one.first for one in stretches]
    after = [one.last - 2500 * MS for one in stretches]
    assert before == after[::-1]


@pytest.mark.parametrize("seems_ms", [4500, 4700, 5000, 5300, 5500])
def test_a_change_is_seen_from_both_sides_though_it_seemed_half_a_hop_away(seems_ms: int) -> None:
    stretches = around(seems_ms, 10_000 * MS)
    assert any(one.last <= 5000 * MS for one in stretches), "all of it before the change"
    assert any(one.first >= 5000 * MS for one in stretches), "all of it after the change"


def test_around_nothing() -> None:
    assert around(100, 50 * MS) == ()


def noisy(n_ms: int, *quiet: tuple[int, int]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Noise, but for the stretches of silence, given in milliseconds."""
    samples = np.random.default_rng(0).normal(0, 0.1, n_ms * MS).astype(np.float32)
    for first, last in quiet:
        samples[first * MS : last * MS] *= 0.001
    return samples


@pytest.mark.parametrize(
    ("quiet", "change_ms", "after_ms", "within"),
    [
        pytest.param((1100, 1160), 1000, 0, (1100, 1160), id="a breath after it"),
        pytest.param((850, 900), 1000, 0, (850, 900), id="a breath before it"),
        pytest.param((1400, 1900), 1000, 0, (800, 1200), id="a breath too far away"),
        pytest.param((850, 900), 1000, 950, (950, 1200), id="not before the language before it"),
        pytest.param((0, 50), 100, 0, (0, 50), id="near the beginning"),
        pytest.param((1950, 2000), 2000, 0, (1950, 2000), id="near the end"),
    ],
)
def test_quietest(
    quiet: tuple[int, int], change_ms: int, after_ms: int, within: tuple[int, int]
) -> None:
    sample = quietest(noisy(2000, quiet), change_ms, after_ms * MS)
    assert within[0] * MS <= sample <= within[1] * MS


@given(st.integers(0, 400), st.integers(0, 9000), st.integers(0, 6400))
def test_a_cut_is_in_what_is_there_and_not_before_the_one_before(
    n_ms: int, change_ms: int, after: int
) -> None:
    after = min(after, n_ms * MS)
    assert after <= quietest(np.zeros(n_ms * MS, np.float32), change_ms, after) <= n_ms * MS


def test_cuts_are_in_order() -> None:
    samples = noisy(5000)
    cuts = [0]
    for change_ms in range(100, 5000, 100):
        cuts.append(quietest(samples, change_ms, cuts[-1]))
    assert all(one <= other for one, other in pairwise(cuts))
