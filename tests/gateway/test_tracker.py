"""Step 4: when the tracker stays, when it switches and where, and that nothing breaks it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tracker import LanguageSpan, LanguageTracker, TrackerSettings, Window
from gateway.windows import around, next_stretch

# Not the defaults: those are tuned to a model of language identification.
SETTINGS = TrackerSettings(
    stay_odds=3.5,
    switch_odds=0.05,
    floor=0.01,
    trusts=((0, 0.4), (1000, 3.2), (2000, 4.0), (3000, 4.8)),
    certain=0.8,
    rival=0.1,
    shortest_ms=300,
)
# Of one window, whatever its length, what it says.
PLAIN = TrackerSettings(
    stay_odds=3.5, switch_odds=0.01, floor=0.01, trusts=((0, 1.0),), certain=0.8, rival=0.1
)
MANY = tuple(f"l{index:02}" for index in range(60))

Spoken = tuple[str, int, int]
"""A language, from when and to when, in ms."""


def judged(spoken: Sequence[Spoken], first_ms: int, last_ms: int) -> Window:
    """A window as a good model judges it: languages by their share of the time."""
    length = last_ms - first_ms
    posteriors = dict.fromkeys(("en", "fr", "it", "nl"), 0.01)
    for tag, start, end in spoken:
        share = max(0, min(end, last_ms) - max(start, first_ms)) / length
        posteriors[tag] += 0.96 * share
    return Window(first_ms, last_ms, posteriors)


def followed(tracker: LanguageTracker, *spoken: Spoken) -> tuple[LanguageSpan, ...]:
    """The spans of a segment that is judged as it is in the gateway."""
    position, end = 0, 16 * spoken[-1][2]
    spans: tuple[LanguageSpan, ...] = ()
    while position < end:
        position += 1600
        stretch = next_stretch(reached(spans), position, end if position >= end else None)
        while stretch is not None:
            n_before = len(spans)
            spans = tracker.observe(judged(spoken, stretch.first // 16, stretch.last // 16))
            if len(spans) > max(n_before, 1):
                narrow = around(spans[-1].start_ms, position)
                windows = [judged(spoken, one.first // 16, one.last // 16) for one in narrow]
                spans = tracker.observe(*windows)
            stretch = next_stretch(reached(spans), position, None)
    return spans


def reached(spans: Sequence[LanguageSpan]) -> int:
    """Up to which sample they go."""
    return 16 * spans[-1].end_ms if spans else 0


def fresh(
    candidates: Sequence[str] | None = None, settings: TrackerSettings = PLAIN, **weights: float
) -> LanguageTracker:
    """In the first segment of a stream."""
    tracker = LanguageTracker(settings)
    tracker.begin(candidates, weights)
    return tracker


def speaking(
    language: str,
    candidates: Sequence[str] | None = None,
    settings: TrackerSettings = PLAIN,
    **weights: float,
) -> LanguageTracker:
    """In a new segment, after three that were clearly in `language`."""
    tracker = LanguageTracker(settings)
    for _ in range(3):
        tracker.begin(candidates, {})
        tracker.observe(Window(0, 3000, {language: 0.97}))
    assert tracker.begin(candidates, weights) == language
    return tracker


def heard(tracker: LanguageTracker, length_ms: int = 2000, /, **posteriors: float) -> LanguageSpan:
    """The one span of a window."""
    (span,) = tracker.observe(Window(0, length_ms, posteriors))
    return span


def test_what_is_expected() -> None:
    tracker = LanguageTracker(PLAIN)
    assert tracker.begin(None, {}) is None
    assert tracker.begin(["de", "fr"], {}) is None
    assert tracker.begin(["de", "fr"], {"fr": 9}) is None
    assert tracker.begin(["de"], {}) == "de"
    tracker.observe(Window(0, 2000, {"de": 0.9}))
    assert tracker.begin(["de", "fr"], {}) == "de"
    assert tracker.begin(["it", "fr"], {}) is None
    assert tracker.begin(None, {}) is None, "what is no candidate any more is forgotten"


def test_of_two_that_were_spoken_the_likelier_by_its_weight_is_expected() -> None:
    tracker = fresh()
    heard(tracker, de=0.6, fr=0.4)
    assert tracker.begin(None, {}) == "de"
    assert tracker.begin(None, {"fr": 4}) == "fr"


def test_no_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="candidates is empty"):
        LanguageTracker(PLAIN).begin([], {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"stay_odds": 0.5},
        {"floor": 0.0},
        {"floor": 1.0},
        {"switch_odds": 0.0},
        {"switch_odds": 1.0},
        {"trusts": ()},
        {"trusts": ((1000, 1.0), (1000, 2.0))},
        {"trusts": ((1000, 1.0), (500, 2.0))},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"give|must be"):
        TrackerSettings(**wrong)  # type: ignore[arg-type]


def test_a_single_candidate_is_certain_whatever_is_heard() -> None:
    span = heard(fresh(["de"]), fr=1.0)
    assert (span.language, span.certain, span.rival) == ("de", True, None)


@pytest.mark.parametrize("candidates", [None, ("de", "fr"), ("de", "fr", *MANY)])
@pytest.mark.parametrize(
    ("posteriors", "expected"),
    [
        ({"fr": 0.97}, "fr"),
        ({"fr": 0.8, "de": 0.2}, "fr"),
        ({"fr": 0.8, "de": 0.1}, "fr"),
        ({"fr": 0.6, "de": 0.4}, "de"),
        ({"fr": 0.55, "de": 0.45}, "de"),
        ({"de": 0.5, "fr": 0.5}, "de"),
    ],
)
def test_a_new_segment_needs_more_than_a_hair_to_be_in_another_language(
    posteriors: dict[str, float], expected: str, candidates: tuple[str, ...] | None
) -> None:
    tracker = speaking("de", candidates)
    assert heard(tracker, **posteriors).language == expected
    assert tracker.begin(candidates, {}) == expected


def test_doubt_is_not_certain_and_names_the_rival() -> None:
    span = heard(speaking("de"), de=0.3, fr=0.65)
    assert not span.certain
    assert {span.language, span.rival} == {"de", "fr"}
    assert 0.1 <= span.rival_probability < span.probability < 0.8


def test_a_speaker_who_stays_is_certain_and_has_no_rival() -> None:
    span = heard(speaking("de"), de=0.95, nl=0.03)
    assert (span.language, span.certain, span.rival) == ("de", True, None)
    assert span.rival_probability == 0


def test_what_a_window_leaves_to_unnamed_languages_is_doubt() -> None:
    span = heard(fresh(), de=0.5)
    assert span.language == "de"
    assert span.probability == pytest.approx(0.5, abs=0.01)
    assert span.rival is None, "nobody can be decoded in a language without a name"


def test_an_unlikely_language_says_no_more_than_the_floor() -> None:
    one, other = heard(speaking("de"), fr=0.9, de=1e-12), heard(speaking("de"), fr=0.9)
    assert one.language == other.language
    assert one.probability == pytest.approx(other.probability)


def test_hints_weigh() -> None:
    spans = [heard(fresh(fr=weight), de=0.6, fr=0.4) for weight in (0.05, 1, 3, 30)]
    assert [span.language for span in spans] == ["de", "de", "fr", "fr"]
    assert [span.certain for span in spans] == [True, False, False, False]
    assert [span.rival for span in spans] == [None, "fr", "de", "de"]
    assert spans[3].probability > spans[2].probability
    assert spans[2].probability == pytest.approx(3 * 0.4 / (3 * 0.4 + 0.6), abs=0.1)


@pytest.mark.parametrize("weight", [30.0, 1000.0])
def test_a_hint_may_outweigh_what_is_heard_but_makes_no_change_of_language(weight: float) -> None:
    tracker = fresh(settings=SETTINGS, fr=weight)
    for end_ms in range(1000, 4001, 500):
        spans = tracker.observe(Window(max(0, end_ms - 2000), end_ms, {"de": 0.97, "fr": 0.01}))
        assert len(spans) == 1


def test_a_hint_that_is_no_candidate_counts_for_nothing() -> None:
    with_hint = heard(fresh(["de", "nl"], fr=1000), de=0.5, nl=0.4, fr=0.1)
    assert with_hint == heard(fresh(["de", "nl"]), de=0.5, nl=0.4, fr=0.1)


def test_only_candidates_count_and_are_renormalised() -> None:
    tracker = fresh(["de", "fr"])
    span = heard(tracker, nl=0.9, de=0.09, fr=0.01)
    assert span.language == "de"
    assert span.certain
    tracker.begin(["de", "fr"], {})
    assert heard(tracker, nl=1.0).language == "de", "nothing of ours was heard: we stay"


def test_candidates_may_change_from_segment_to_segment() -> None:
    tracker = speaking("de", ["de", "fr"])
    assert tracker.begin(["fr", "nl"], {}) in {None, "fr"}
    assert heard(tracker, de=0.9, nl=0.08, fr=0.02).language == "nl"


def test_odds_do_not_depend_on_how_many_languages_there_are() -> None:
    few, many = ("de", "fr", "nl"), ("de", "fr", "nl", *MANY)
    for posteriors in ({"fr": 0.8, "de": 0.2}, {"fr": 0.6, "de": 0.2, "nl": 0.2}):
        one, other = (heard(speaking("de", tags), **posteriors) for tags in (few, many))
        assert (one.language, one.rival) == (other.language, other.rival)
        assert one.probability == pytest.approx(other.probability, abs=0.03)
        assert one.rival_probability == pytest.approx(other.rival_probability, abs=0.03)


def test_many_unlikely_languages_do_not_outweigh_a_likely_one() -> None:
    rest = {tag: 0.4 / len(MANY) for tag in MANY}
    span = heard(fresh(), de=0.6, **rest)
    assert span.language == "de"
    assert span.probability == pytest.approx(0.6, abs=0.02)


def test_longer_windows_weigh_more() -> None:
    sticky = replace(SETTINGS, switch_odds=1e-4)
    probabilities = [
        heard(fresh(settings=sticky), length_ms, de=0.6, nl=0.4).probability
        for length_ms in (300, 1000, 1500, 2000, 3000)
    ]
    assert probabilities == sorted(set(probabilities))


@pytest.mark.parametrize(
    ("window_ms", "trust"), [(-5, 0.4), (0, 0.4), (500, 1.8), (1000, 3.2), (3000, 4.8), (9000, 4.8)]
)
def test_trust_is_interpolated(window_ms: int, trust: float) -> None:
    assert SETTINGS.trust(window_ms) == pytest.approx(trust)


def test_the_same_speech_does_not_count_twice() -> None:
    window = Window(0, 2000, {"de": 0.7, "nl": 0.3})
    once, thrice = fresh(), fresh()
    assert once.observe(window) == thrice.observe(window, window, window)
    assert thrice.observe(window) == once.observe()


def test_of_overlapping_windows_a_frame_takes_the_mean() -> None:
    ours, theirs = {"de": 0.9, "nl": 0.1}, {"de": 0.1, "nl": 0.9}
    (span,) = fresh().observe(Window(0, 2000, ours), Window(0, 2000, theirs))
    assert span.probability == pytest.approx(0.5, abs=0.03)
    assert span.rival_probability == pytest.approx(span.probability)


@pytest.mark.parametrize("background", [1.0, 7.0])
def test_where_nobody_speaks_nothing_is_learnt(background: float) -> None:
    tracker = speaking("de")
    (span,) = tracker.observe(Window(0, 2000, {"fr": 0.99}, background))
    assert span.language == "de"
    assert not span.certain
    assert tracker.begin(None, {}) == "de"


def test_background_silences_the_evidence_by_degrees() -> None:
    probabilities = []
    for background in (-1.0, 0.0, 0.3, 0.6, 0.9, 1.0):
        (span,) = fresh().observe(Window(0, 2000, {"de": 0.9, "fr": 0.1}, background))
        assert span.language == "de"
        probabilities.append(span.probability)
    assert probabilities[0] == probabilities[1]
    assert probabilities[1:] == sorted(set(probabilities[1:]), reverse=True)


@pytest.mark.parametrize("change_ms", range(1400, 3301, 100))
def test_a_change_is_found_where_it_is(change_ms: int) -> None:
    tracker = speaking("en", settings=SETTINGS)
    spans = followed(tracker, ("en", 0, change_ms), ("fr", change_ms, 5000))
    assert [span.language for span in spans] == ["en", "fr"]
    assert abs(spans[1].start_ms - change_ms) <= 300
    assert tracker.begin(None, {}) == "fr"


def test_three_languages() -> None:
    tracker = fresh(settings=SETTINGS)
    spans = followed(tracker, ("en", 0, 2300), ("fr", 2300, 4500), ("it", 4500, 7000))
    assert [span.language for span in spans] == ["en", "fr", "it"]
    assert abs(spans[1].start_ms - 2300) <= 300
    assert abs(spans[2].start_ms - 4500) <= 300


def test_a_language_that_comes_back() -> None:
    tracker = fresh(settings=SETTINGS)
    spans = followed(tracker, ("en", 0, 2500), ("fr", 2500, 5000), ("en", 5000, 7500))
    assert [span.language for span in spans] == ["en", "fr", "en"]


def test_a_speaker_who_stays_for_long_is_one_span() -> None:
    tracker = fresh(settings=SETTINGS)
    (span,) = followed(tracker, ("en", 0, 12_000))
    assert (span.start_ms, span.end_ms, span.language, span.certain) == (0, 12_000, "en", True)


def test_what_lies_beyond_the_end_is_left_out_and_not_forgotten() -> None:
    tracker = fresh(settings=SETTINGS)
    windows = [Window(0, 2000, {"en": 0.98}), Window(2000, 4000, {"fr": 0.98})]
    assert [span.language for span in tracker.observe(*windows)] == ["en", "fr"]
    (span,) = tracker.observe(end_ms=1950)
    assert (span.language, span.end_ms) == ("en", 2000)
    assert tracker.begin(None, {}) == "en", "the next segment begins where this one ended"
    tracker = fresh(settings=SETTINGS)
    tracker.observe(*windows, end_ms=1950)
    assert [span.language for span in tracker.observe()] == ["en", "fr"], "it went on after all"


def test_while_nothing_is_known_there_are_no_spans() -> None:
    tracker = fresh()
    assert tracker.observe() == ()
    assert tracker.observe(Window(0, 1000, {})) == ()
    assert tracker.observe(Window(0, 1000, {"de": math.nan, "fr": -1.0})) == ()
    assert tracker.begin(None, {}) is None
    assert heard(speaking("de")).language == "de"
    assert heard(fresh(["nl", "de"])).language == "nl", "the first candidate for want of better"


tags = ["de", "fr", "nl", "pl"]
probabilities = st.one_of(
    st.floats(0, 1), st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 5e-324, 1e300, 1.8e308])
)
windows = st.builds(
    lambda start, length, posteriors, background: Window(
        start, start + length, posteriors, background
    ),
    st.integers(0, 10_000),
    st.integers(0, 4000),
    st.dictionaries(st.sampled_from(tags), probabilities),
    probabilities,
)
segments = st.lists(
    st.lists(st.tuples(windows, st.none() | st.integers(1, 12_000)), max_size=6), max_size=4
)


@given(
    segments,
    st.sampled_from([None, ("de",), ("de", "fr"), ("xx", "yy", "de")]),
    st.dictionaries(st.sampled_from(tags), st.floats(0.001, 1000)),
)
def test_any_windows_give_spans_that_fit_together_and_always_the_same(
    said: list[list[tuple[Window, int | None]]],
    candidates: tuple[str, ...] | None,
    weights: dict[str, float],
) -> None:
    one, other = LanguageTracker(SETTINGS), LanguageTracker(SETTINGS)
    for segment in said:
        assert one.begin(candidates, weights) == other.begin(candidates, weights)
        for window, end_ms in segment:
            spans = one.observe(window, end_ms=end_ms)
            turned = Window(
                window.start_ms,
                window.end_ms,
                dict(reversed(list(window.posteriors.items()))),
                window.background,
            )
            assert other.observe(turned, end_ms=end_ms) == spans
            check(spans, candidates)


def check(spans: Sequence[LanguageSpan], candidates: Sequence[str] | None) -> None:
    """What is true of any spans."""
    if candidates is not None:
        assert spans
        assert {span.language for span in spans} <= set(candidates)
    if spans:
        assert spans[0].start_ms == 0
    for before, after in pairwise(spans):
        assert before.end_ms == after.start_ms
        assert before.language != after.language
        assert min(before.end_ms - before.start_ms, after.end_ms - after.start_ms) >= 300
    for span in spans:
        assert 0 <= span.rival_probability <= 1
        assert 0 < span.probability <= 1 + 1e-9
        assert span.certain == (span.probability >= SETTINGS.certain)
        assert span.rival != span.language
        assert (span.rival is None) == (span.rival_probability == 0)
        assert span.rival is None or span.rival_probability >= SETTINGS.rival
