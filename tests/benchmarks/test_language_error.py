"""Scores on tables small enough to check by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.language_error import (
    Claim,
    FoundChange,
    LanguageError,
    Stretch,
    found_changes,
    interval,
    language_error,
)

TRUTH = [Stretch("it", 1000, 3000), Stretch("fr", 3500, 5000)]
"""With a collar of 200 ms, 1600 and 1100 ms are judged."""


@pytest.mark.parametrize(
    ("heard", "missed_ms", "confused_ms"),
    [
        ([Stretch("it", 900, 3100), Stretch("fr", 3400, 5200)], 0, 0),
        ([], 2700, 0),
        ([Stretch("it", 900, 5200)], 0, 1100),
        # within the collars, anything goes
        ([Stretch("it", 1150, 2850), Stretch("en", 2850, 3650), Stretch("fr", 3650, 4900)], 0, 0),
        # the change is heard 500 ms late; 200 ms of it are in the collar
        ([Stretch("it", 900, 4000), Stretch("fr", 4000, 5200)], 0, 300),
        # what begins later counts
        ([Stretch("fr", 2000, 5200), Stretch("it", 900, 3200)], 0, 800),
        ([Stretch("en", 0, 2000)], 800 + 1100, 800),
    ],
)
def test_speech_is_missed_or_confused_outside_the_collars(
    heard: list[Stretch], missed_ms: int, confused_ms: int
) -> None:
    assert language_error(TRUTH, heard) == LanguageError(2700, missed_ms, confused_ms)


def test_without_collar_all_speech_is_judged() -> None:
    late = [Stretch("it", 900, 4000), Stretch("fr", 4000, 5200)]
    assert language_error(TRUTH, late, collar_ms=0) == LanguageError(3500, 0, 500)


def test_where_spans_touch_the_collar_lies_on_both_sides_of_the_boundary() -> None:
    touching = [Stretch("it", 0, 1000), Stretch("fr", 1000, 2000)]
    assert language_error(touching, [Stretch("it", 0, 2000)]) == LanguageError(1200, 0, 600)


def test_rates_are_pooled() -> None:
    pooled = LanguageError(1000, 0, 100) + LanguageError(3000, 200, 100)
    assert pooled.rate == pytest.approx(0.1)
    assert LanguageError().rate == 0


def test_a_truth_that_overlaps_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        language_error([Stretch("it", 0, 1000), Stretch("fr", 900, 2000)], [])


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 6000), st.integers(1, 3000)), max_size=6
    )
)
def test_it_agrees_with_counting_every_millisecond(raw: list[tuple[str, int, int]]) -> None:
    heard = [Stretch(language, start, start + length) for language, start, length in raw]
    truth = [Stretch("a", 500, 1900), Stretch("b", 2100, 3000), Stretch("c", 3000, 4200)]
    edges = [500, 1900, 2100, 3000, 3000, 4200]
    speech = missed = confused = 0
    for ms in range(7000):
        spoken = [t.language for t in truth if t.start_ms <= ms < t.end_ms]
        if not spoken or any(-200 <= ms - edge < 200 for edge in edges):
            continue
        there = [h for h in heard if h.start_ms <= ms < h.end_ms]
        speech += 1
        missed += not there
        latest = max((h.start_ms for h in there), default=None)
        claimed = [h.language for h in there if h.start_ms == latest]
        confused += bool(claimed) and claimed[0] != spoken[0]
    assert language_error(truth, heard) == LanguageError(speech, missed, confused)


def test_a_change_is_found_when_an_event_first_tells_of_it() -> None:
    heard = [Stretch("it", 900, 3600), Stretch("fr", 3600, 5100)]
    claims = [
        Claim(2000, "it", 900, 2000),
        Claim(4000, "it", 900, 4000),
        Claim(4300, "fr", 3600, 4300),
        Claim(5300, "fr", 3600, 5100),
    ]
    assert found_changes(TRUTH, heard, claims) == [FoundChange("fr", 800, 100)]


@pytest.mark.parametrize("boundary_ms", [3000, 3200, 3500])
def test_anywhere_in_the_pause_is_right(boundary_ms: int) -> None:
    heard = [Stretch("it", 900, boundary_ms), Stretch("fr", boundary_ms, 5100)]
    (change,) = found_changes(TRUTH, heard, [Claim(5300, "fr", boundary_ms, 5100)])
    assert change.off_ms == 0


def test_a_boundary_too_early_is_off_too() -> None:
    heard = [Stretch("it", 900, 2600), Stretch("fr", 2600, 5100)]
    (change,) = found_changes(TRUTH, heard, [Claim(5300, "fr", 2600, 5100)])
    assert change.off_ms == 400


def test_what_was_taken_back_was_not_found() -> None:
    claims = [Claim(4000, "fr", 3500, 4000), Claim(5300, "it", 900, 5100)]
    (change,) = found_changes(TRUTH, [Stretch("it", 900, 5100)], claims)
    assert not change.found
    assert math.isinf(change.delay_ms)


def test_going_back_is_no_change_found_if_leaving_was_not() -> None:
    truth = [Stretch("it", 0, 2000), Stretch("fr", 2000, 3000), Stretch("it", 3000, 5000)]
    heard = [Stretch("it", 0, 2500), Stretch("it", 2500, 5000)]
    claims = [Claim(2600, "it", 0, 2500), Claim(5400, "it", 2500, 5000)]
    assert [each.found for each in found_changes(truth, heard, claims)] == [False, False]


def test_a_late_final_of_the_span_before_last_does_not_tell_of_the_last() -> None:
    truth = [Stretch(tag, at, at + 1000) for at, tag in ((0, "it"), (1000, "fr"), (2000, "it"))]
    heard = [Stretch("it", 0, 1000), Stretch("fr", 1000, 2000), Stretch("it", 2000, 3000)]
    claims = [
        Claim(2300, "it", 0, 1000),  # late: of the first
        Claim(2400, "fr", 1000, 2000),
        Claim(2900, "it", 2000, 2800),
    ]
    assert [each.delay_ms for each in found_changes(truth, heard, claims)] == [1400, 900]


def test_one_language_has_no_changes() -> None:
    assert found_changes([Stretch("it", 0, 900), Stretch("it", 1000, 2000)], [], []) == []


def test_the_interval_holds_the_figure_and_narrows_with_more_streams() -> None:
    def mean(values: object) -> float:
        assert isinstance(values, list)
        return float(sum(values) / len(values))

    few, many = ([0.0, 1.0] * n for n in (5, 200))
    (low, high), (lower, upper) = interval(few, mean), interval(many, mean)
    assert low < lower < 0.5 < upper < high
    assert interval(few, mean) == (low, high)
