"""Step 4: when the tracker stays, when it switches, and that nothing breaks it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tracker import LanguageTracker, TrackerSettings

SETTINGS = TrackerSettings()
MANY = tuple(f"l{index:02}" for index in range(60))


def speaking(language: str, candidates: tuple[str, ...] | None = None) -> LanguageTracker:
    """After three segments that were clearly in `language`."""
    tracker = LanguageTracker(candidates, SETTINGS)
    for _ in range(3):
        tracker.observe({language: 0.97}, 3000, new_segment=True)
    assert tracker.expected == language
    return tracker


def test_nothing_is_expected_before_anything_is_known() -> None:
    assert LanguageTracker(None, SETTINGS).expected is None
    assert LanguageTracker(["de", "fr"], SETTINGS).expected is None


def test_a_single_candidate_is_certain_whatever_is_heard() -> None:
    tracker = LanguageTracker(["de"], SETTINGS)
    assert tracker.expected == "de"
    decision = tracker.observe({"fr": 1.0}, 3000, new_segment=True)
    assert (decision.language, decision.probability, decision.certain) == ("de", 1.0, True)
    assert LanguageTracker(["de", "de"], SETTINGS).expected == "de"


def test_no_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="candidates is empty"):
        LanguageTracker([], SETTINGS)


@pytest.mark.parametrize("candidates", [None, ("de", "fr"), ("de", "fr", *MANY)])
@pytest.mark.parametrize(
    ("posteriors", "window_ms", "expected"),
    [
        ({"fr": 0.8, "de": 0.2}, 2000, "fr"),
        ({"fr": 0.8, "de": 0.2}, 3000, "fr"),
        ({"fr": 0.8, "de": 0.1}, 2000, "fr"),
        ({"fr": 0.9}, 2500, "fr"),
        ({"fr": 0.97}, 1000, "fr"),
        ({"fr": 0.5, "de": 0.3}, 1000, "de"),
        ({"fr": 0.5, "de": 0.1}, 1000, "de"),
        ({"fr": 0.6, "de": 0.4}, 1000, "de"),
        ({"fr": 0.55, "de": 0.45}, 3000, "de"),
        ({"fr": 0.9}, 300, "de"),
        ({"de": 0.5, "fr": 0.5}, 2000, "de"),
    ],
)
def test_switches_on_confident_windows_only(
    posteriors: dict[str, float],
    window_ms: int,
    expected: str,
    candidates: tuple[str, ...] | None,
) -> None:
    tracker = speaking("de", candidates)
    decision = tracker.observe(posteriors, window_ms, new_segment=True)
    assert decision.language == expected
    assert tracker.expected == expected


def test_half_on_a_second_does_not_switch_even_when_ours_is_missing() -> None:
    decision = speaking("de").observe({"fr": 0.5}, 1000, new_segment=True)
    assert decision.language == "de"
    assert not decision.certain


def test_a_speaker_who_stays_is_certain_on_the_first_second() -> None:
    decision = speaking("de").observe({"de": 0.95, "nl": 0.03}, 1000, new_segment=True)
    assert decision.language == "de"
    assert decision.certain


def test_a_clear_switch_is_certain_at_two_seconds_and_not_at_one() -> None:
    tracker = speaking("de")
    assert not tracker.observe({"fr": 0.95, "de": 0.01}, 1000, new_segment=True).certain
    decision = tracker.observe({"fr": 0.95, "de": 0.01}, 2000, new_segment=False)
    assert decision.language == "fr"
    assert decision.certain


def test_what_the_window_leaves_to_unnamed_languages_is_doubt() -> None:
    decision = LanguageTracker(None, SETTINGS).observe({"de": 0.5}, 2000, new_segment=True)
    assert decision.probability == pytest.approx(0.5)


def test_a_later_window_replaces_the_one_it_contains() -> None:
    window = {"fr": 0.6, "de": 0.4}
    tracker = speaking("de")
    tracker.observe(window, 2000, new_segment=True)
    for _ in range(3):
        decision = tracker.observe(window, 2000, new_segment=False)
    # Multiplied, 0.6 against 0.4 four times over would be 5 to 1 and beat any stickiness here.
    assert decision.language == "de"
    # The longest window of a segment decides, though the first said otherwise.
    tracker = LanguageTracker(None, SETTINGS)
    tracker.observe({"nl": 0.7, "de": 0.3}, 1000, new_segment=True)
    assert tracker.observe({"de": 0.7, "nl": 0.3}, 3000, new_segment=False).language == "de"


def test_longer_windows_weigh_more() -> None:
    posteriors = {"de": 0.7, "nl": 0.3}
    probabilities = [
        LanguageTracker(None, SETTINGS).observe(posteriors, window_ms, True).probability
        for window_ms in (300, 1000, 1500, 2000, 3000)
    ]
    assert probabilities == sorted(set(probabilities))


@pytest.mark.parametrize(
    ("window_ms", "weight"),
    [(0, 0.1), (1000, 0.47), (1500, 0.735), (2000, 1), (3000, 1.3), (30_000, 1.3), (-5, 0.1)],
)
def test_weight_is_interpolated(window_ms: int, weight: float) -> None:
    assert SETTINGS.weight(window_ms) == pytest.approx(weight)


def test_only_candidates_count_and_are_renormalised() -> None:
    tracker = LanguageTracker(["de", "fr"], SETTINGS)
    decision = tracker.observe({"nl": 0.9, "de": 0.09, "fr": 0.01}, 3000, new_segment=True)
    assert decision.language == "de"
    assert decision.certain
    # Nothing of ours was heard: we stay.
    assert tracker.observe({"nl": 1.0}, 3000, new_segment=True).language == "de"


def test_nothing_heard_and_nothing_known() -> None:
    with pytest.raises(ValueError, match="no posteriors"):
        LanguageTracker(None, SETTINGS).observe({}, 2000, new_segment=True)
    assert speaking("de").observe({}, 2000, new_segment=True).language == "de"


def test_odds_do_not_depend_on_how_many_languages_there_are() -> None:
    posteriors = {"fr": 0.8, "de": 0.2}
    few = speaking("de", ("de", "fr", "nl")).observe(posteriors, 2000, True)
    many = speaking("de", ("de", "fr", "nl", *MANY)).observe(posteriors, 2000, True)
    assert few == many


observations = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from(["de", "fr", "nl", "pl"]),
            st.one_of(
                st.floats(0, 1),
                st.sampled_from([math.nan, math.inf, -1.0, 1e-300, 5e-324, 1e300]),
            ),
        ),
        st.integers(0, 30_000),
        st.booleans(),
    ),
    max_size=12,
)


@given(observations, st.sampled_from([None, ("de",), ("de", "fr"), ("xx", "yy", "de")]))
def test_any_observations_give_a_probability_and_always_the_same(
    windows: list[tuple[dict[str, float], int, bool]], candidates: tuple[str, ...] | None
) -> None:
    one, other = LanguageTracker(candidates, SETTINGS), LanguageTracker(candidates, SETTINGS)
    for posteriors, window_ms, new_segment in windows:
        try:
            decision = one.observe(posteriors, window_ms, new_segment)
        except ValueError:
            assert one.expected is None
            continue
        assert 0 < decision.probability <= 1
        assert decision.certain == (decision.probability >= SETTINGS.certain_probability)
        assert candidates is None or decision.language in candidates
        assert one.expected == decision.language
        reversed_order = dict(reversed(posteriors.items()))
        assert other.observe(reversed_order, window_ms, new_segment) == decision
