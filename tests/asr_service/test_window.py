"""Partials of a growing span: bounded windows, words that stay, nothing lost or said twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_service.window import MAX_WINDOW_MS, PartialTranscript
from speech.ctc.paths import TimedWord


def word(text: str, start_ms: int, end_ms: int) -> TimedWord:
    return TimedWord(text, start_ms, end_ms, 0.9)


def every_half_second(until_ms: int, text: str = "w") -> tuple[TimedWord, ...]:
    return tuple(
        word(f"{text}{start // 500}", start + 50, start + 450) for start in range(0, until_ms, 500)
    )


SPEECH = every_half_second(60_000)


def heard(speech: tuple[TimedWord, ...], start_ms: int, end_ms: int) -> tuple[TimedWord, ...]:
    """What an ideal recogniser hears: the words that lie in the window as a whole."""
    return tuple(w for w in speech if start_ms <= w.start_ms and w.end_ms <= end_ms)


def texts(words: tuple[TimedWord, ...]) -> list[str]:
    return [w.text for w in words]


def after(*ends_ms: int, speech: tuple[TimedWord, ...] = SPEECH) -> PartialTranscript:
    """The state after passes over that much audio."""
    partial = PartialTranscript()
    for n_ms in ends_ms:
        start, end = partial.window(n_ms)
        partial = partial.extended(heard(speech, start, end), end)
    return partial


def test_a_short_span_is_heard_as_a_whole_and_said_as_it_was_heard() -> None:
    partial = PartialTranscript()
    for n_ms in (300, 1000, 4000, 7900, 8000):
        assert partial.window(n_ms) == (0, n_ms)
        # The recogniser changes its mind about everything.
        words = tuple(word(f"{n_ms}-{w.text}", w.start_ms, w.end_ms) for w in SPEECH[: n_ms // 500])
        partial = partial.extended(words, n_ms)
        assert partial.words == words


@pytest.mark.parametrize(
    ("passes", "settled"),
    [
        ((2000,), 0),  # one pass agrees with nobody
        ((2000, 2300), 2),  # w2 ends at 1450, less than a second before the end
        ((2000, 2500), 3),
        ((500, 5000), 1),  # the pass before had heard one word only
        ((2000, 2500, 5000), 5),
    ],
)
def test_words_are_settled_when_two_passes_agree(passes: tuple[int, ...], settled: int) -> None:
    assert texts(after(*passes).settled) == texts(SPEECH[:settled])


def test_a_word_that_changes_stops_the_settling() -> None:
    before = after(4000)
    changed = (*SPEECH[:3], word("other", 1550, 1950), *SPEECH[4:8])
    assert texts(before.extended(changed, 4300).settled) == ["w0", "w1", "w2"]


def test_a_long_span_is_heard_from_before_what_is_settled() -> None:
    partial = after(*range(1000, 8001, 500))
    assert partial.settled_ms == 6950  # two passes had it, a second before the end of the last
    assert partial.window(8500) == (3950, 8500)


def test_settled_words_stay_whatever_is_heard_later() -> None:
    partial = after(*range(1000, 12_001, 500))
    settled = partial.settled
    start, end = partial.window(12_500)
    others = every_half_second(12_500, text="x")
    partial = partial.extended(heard(others, start, end), end)
    assert partial.settled == settled
    assert texts(partial.words)[len(settled) :] == texts(others[len(settled) : 25])


def test_the_times_of_a_settled_word_may_shift_without_repeating_it() -> None:
    partial = after(*range(1000, 12_001, 500))
    start, end = partial.window(12_500)
    for shift in (-120, 120):
        words = tuple(
            word(w.text, w.start_ms + shift, w.end_ms + shift) for w in heard(SPEECH, start, end)
        )
        assert texts(partial.extended(words, end).words) == texts(SPEECH[:25])


def test_music_keeps_the_window_bounded() -> None:
    partial = PartialTranscript()
    for n_ms in range(300, 60_000, 300):
        start, end = partial.window(n_ms)
        assert end == n_ms
        assert end - start <= MAX_WINDOW_MS
        partial = partial.extended((), end)
    assert partial.words == ()


def test_passes_that_never_agree_keep_the_window_bounded_and_lose_nothing() -> None:
    partial = PartialTranscript()
    for number, n_ms in enumerate(range(300, 30_000, 300)):
        start, end = partial.window(n_ms)
        assert end - start <= MAX_WINDOW_MS
        speech = every_half_second(30_000, text=f"{number % 2}:")
        partial = partial.extended(heard(speech, start, end), end)
    said = [text.split(":")[1] for text in texts(partial.words)]
    assert said == [str(place) for place in range(len(said))]
    assert len(said) >= 57


def test_audio_that_came_at_once_is_caught_up_with_window_by_window() -> None:
    partial = PartialTranscript()
    windows = []
    while partial.end_ms < 30_000:
        start, end = partial.window(30_000)
        windows.append((start, end))
        partial = partial.extended(heard(SPEECH, start, end), end)
    assert windows[:3] == [(0, 8000), (4000, 12_000), (8000, 16_000)]
    assert texts(partial.words) == texts(SPEECH[:60])


@st.composite
def speeches(draw: st.DrawFn) -> tuple[TimedWord, ...]:
    words, at = [], 0
    for number in range(draw(st.integers(0, 60))):
        at += draw(st.integers(0, 1500))
        length = draw(st.integers(40, 1500))
        words.append(word(f"{number % 7}", at, at + length))
        at += length
    return tuple(words)


@given(
    speech=speeches(),
    steps=st.lists(st.integers(100, 4000), min_size=1, max_size=40),
    jumps=st.lists(st.sampled_from([0, 0, 0, 15_000]), min_size=40, max_size=40),
)
@settings(deadline=None, max_examples=200)
def test_stitched_words_are_those_of_the_whole_span(
    speech: tuple[TimedWord, ...], steps: list[int], jumps: list[int]
) -> None:
    partial, n_ms = PartialTranscript(), 0
    settled: tuple[TimedWord, ...] = ()
    for step, jump in zip(steps, jumps, strict=False):
        n_ms += step + jump
        caught_up = False
        while not caught_up:
            start, end = partial.window(n_ms)
            assert end - start <= MAX_WINDOW_MS
            assert end > partial.end_ms
            caught_up = end == n_ms
            partial = partial.extended(heard(speech, start, end), end)
            assert partial.words == heard(speech, 0, end)
            if start:
                assert partial.settled[: len(settled)] == settled
                settled = partial.settled
