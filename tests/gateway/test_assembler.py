"""Step 10: times, stability, and what is worth sending."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from panglot.v1 import asr_pb2, transcription_pb2

from common.zero_shot import StandIn
from gateway.assembler import SegmentAssembler
from gateway.heard import Heard, SpanSource

SOURCE = SpanSource(start=32_000, language="it", adapter="it-base@1", language_probability=0.75)


def hypothesis(text: str, audio_ms: int = 1_000, glue: str = " ") -> asr_pb2.Hypothesis:
    """Words of 100 ms each, one after another."""
    words = text.split()
    return asr_pb2.Hypothesis(
        text=glue.join(words),
        words=[
            asr_pb2.HypothesisWord(
                text=word, start_ms=100 * at, end_ms=100 * at + 100, confidence=0.5
            )
            for at, word in enumerate(words)
        ],
        confidence=0.25,
        audio_ms=audio_ms,
    )


def italian(text: str, audio_ms: int = 1_000, glue: str = " ") -> Heard:
    """The only span, or the first."""
    return Heard(SOURCE, hypothesis(text, audio_ms, glue))


def partials(
    *texts: str, assembler: SegmentAssembler | None = None
) -> list[tuple[str, int] | None]:
    """Text and stable words of each partial, None where nothing was to be sent."""
    assembler = assembler or SegmentAssembler(3, 32_000)
    shown = [assembler.partial([italian(text)]) for text in texts]
    return [None if one is None else (one.text, one.stable_words) for one in shown]


def test_a_partial_in_full() -> None:
    partial = SegmentAssembler(3, 31_000).partial([italian("buon giorno", audio_ms=500)])
    assert partial == transcription_pb2.Transcript(
        segment=3,
        start_ms=1_937,
        end_ms=2_500,
        text="buon giorno",
        language="it",
        words=[
            transcription_pb2.Word(text="buon", start_ms=2_000, end_ms=2_100, language="it"),
            transcription_pb2.Word(text="giorno", start_ms=2_100, end_ms=2_200, language="it"),
        ],
        stable_words=0,
        adapter="it-base@1",
        language_probability=0.75,
        spans=[
            transcription_pb2.LanguageSpan(
                language="it",
                start_ms=2_000,
                end_ms=2_500,
                adapter="it-base@1",
                language_probability=0.75,
            )
        ],
    )
    assert not partial.HasField("confidence")
    assert not partial.words[0].HasField("confidence")


def test_a_final_in_full() -> None:
    fixed = replace(SOURCE, language_probability=None)
    final = SegmentAssembler(0, 32_000).final([Heard(fixed, hypothesis("buon giorno"))], end=35_000)
    assert (final.start_ms, final.end_ms) == (2_000, 2_187)
    assert [(w.start_ms, w.end_ms, w.confidence) for w in final.words] == [
        (2_000, 2_100, 0.5),
        (2_100, 2_187, 0.5),
    ]
    assert final.confidence == 0.25
    assert final.stable_words == 2
    assert not final.HasField("language_probability")
    assert not final.spans[0].HasField("language_probability")


def test_a_final_without_words_is_still_a_final() -> None:
    final = SegmentAssembler(5, 0).final([Heard(SOURCE, asr_pb2.Hypothesis())], end=64_000)
    assert (final.segment, final.text, len(final.words), final.end_ms) == (5, "", 0, 4_000)
    assert final.HasField("confidence")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([""], [None], id="empty"),
        pytest.param(["a b", "a b c"], [("a b", 0), ("a b c", 2)], id="agreement"),
        pytest.param(["a b", "a x", "a x"], [("a b", 0), ("a x", 1), ("a x", 2)], id="revision"),
        pytest.param(["a b", "a b", "a b"], [("a b", 0), ("a b", 2), None], id="no-news"),
        pytest.param(["a b", "c d"], [("a b", 0), ("c d", 0)], id="nothing-agreed"),
        pytest.param(["a b", "a b", "a"], [("a b", 0), ("a b", 2), None], id="shrunk"),
        pytest.param(
            ["a b", "a b", "a b c", ""],
            [("a b", 0), ("a b", 2), ("a b c", 2), None],
            id="emptied",
        ),
        pytest.param(
            ["a b", "a b", "x b c", "a b c d"],
            [("a b", 0), ("a b", 2), ("a b c", 2), ("a b c d", 3)],
            id="stable-words-stay-when-a-pass-disagrees",
        ),
    ],
)
def test_stable_prefix(texts: list[str], expected: list[tuple[str, int] | None]) -> None:
    assert partials(*texts) == expected


def test_a_word_across_the_seam_starts_at_the_seam() -> None:
    assembler = SegmentAssembler(0, 32_000)
    partials("a b", "a b", assembler=assembler)
    longer = asr_pb2.HypothesisWord(text="x", start_ms=150, end_ms=400)
    heard = Heard(SOURCE, asr_pb2.Hypothesis(text="x", words=[longer], audio_ms=500))
    shown = assembler.partial([heard])
    assert shown is not None
    assert [(w.text, w.start_ms, w.end_ms) for w in shown.words] == [
        ("a", 2_000, 2_100),
        ("b", 2_100, 2_200),
        ("x", 2_200, 2_400),
    ]


def test_scripts_without_spaces_are_not_given_any() -> None:
    assembler = SegmentAssembler(0, 32_000)
    shown = None
    for text in ("今日 は", "今日 は", "京 は いい"):
        shown = assembler.partial([italian(text, glue="")])
    assert shown is not None
    assert shown.text == "今日はいい"


def test_a_language_change_starts_from_nothing() -> None:
    assembler = SegmentAssembler(0, 32_000)
    partials("a b", "a b", assembler=assembler)
    assembler.language_changed(32_000)
    assert partials("x y", "x y z", assembler=assembler) == [("x y", 0), ("x y z", 2)]


def test_the_same_words_are_news_after_a_language_change() -> None:
    assembler = SegmentAssembler(0, 32_000)
    partials("no", assembler=assembler)
    assembler.language_changed(32_000)
    assert partials("no", assembler=assembler) == [("no", 0)]


FRENCH = SpanSource(start=48_000, language="fr", adapter="fr-base@2", language_probability=0.5)


def french(text: str, audio_ms: int = 500, at_ms: int = 3_000) -> Heard:
    """A second span, a second after the first one began."""
    return Heard(replace(FRENCH, start=16 * at_ms), hypothesis(text, audio_ms))


def spans_of(transcript: transcription_pb2.Transcript) -> list[tuple[str, int, int]]:
    """Languages, and from when to when."""
    return [(span.language, span.start_ms, span.end_ms) for span in transcript.spans]


def test_two_spans_in_full() -> None:
    final = SegmentAssembler(1, 32_000).final([italian("ciao"), french("bon jour")], end=60_000)
    assert final.text == "ciao bon jour"
    assert [(w.text, w.start_ms, w.end_ms, w.language) for w in final.words] == [
        ("ciao", 2_000, 2_100, "it"),
        ("bon", 3_000, 3_100, "fr"),
        ("jour", 3_100, 3_200, "fr"),
    ]
    assert spans_of(final) == [("it", 2_000, 3_000), ("fr", 3_000, 3_750)]
    assert [span.adapter for span in final.spans] == ["it-base@1", "fr-base@2"]
    assert [span.language_probability for span in final.spans] == [0.75, 0.5]
    assert (final.language, final.adapter, final.language_probability) == ("it", "it-base@1", 0.75)
    assert (final.start_ms, final.end_ms, final.stable_words) == (2_000, 3_750, 3)


def test_words_by_a_relative_are_in_the_language_asked_for_and_say_by_whom() -> None:
    lent = replace(SOURCE, language="nap", stand_in=StandIn("it", "Italian", 0.75))
    spans = [Heard(lent, hypothesis("uno due")), french("trois")]
    final = SegmentAssembler(0, 32_000).final(spans, end=51_200)
    assert [word.language for word in final.words] == ["nap", "nap", "fr"]
    told = transcription_pb2.ZeroShot(language="it", name="Italian", similarity=0.75)
    assert (final.language, final.adapter, final.zero_shot) == ("nap", "it-base@1", told)
    assert [span.HasField("zero_shot") for span in final.spans] == [True, False]
    chosen = replace(lent, stand_in=StandIn("it", "Italian", None))
    partial = SegmentAssembler(0, 32_000).partial([Heard(chosen, hypothesis("uno"))])
    assert partial is not None
    assert not partial.zero_shot.HasField("similarity")


def test_the_confidence_of_spans_is_that_of_their_words() -> None:
    sure, unsure = italian("a"), french("b c d")
    sure.hypothesis.confidence, unsure.hypothesis.confidence = 0.9, 0.5
    final = SegmentAssembler(0, 32_000).final([sure, unsure], end=60_000)
    assert final.confidence == pytest.approx((0.9 + 3 * 0.5) / 4)


@pytest.mark.parametrize(
    ("change_ms", "back_ms", "language", "adapter"),
    [(3_500, 4_000, "it", "it-base@1"), (2_500, 4_000, "fr", "fr-base@2")],
)
def test_a_segment_is_in_the_language_of_most_of_its_time(
    change_ms: int, back_ms: int, language: str, adapter: str
) -> None:
    back = Heard(replace(SOURCE, start=16 * back_ms, adapter="it-canary@3"), hypothesis("d"))
    spans = [italian("a"), french("b", at_ms=change_ms), back]
    final = SegmentAssembler(0, 32_000).final(spans, end=16 * 4_900)
    assert (final.language, final.adapter) == (language, adapter)


def test_neighbours_in_one_language_are_one_span() -> None:
    also_italian = Heard(
        replace(SOURCE, start=48_000, language_probability=0.25), hypothesis("c d")
    )
    final = SegmentAssembler(0, 32_000).final([italian("a b"), also_italian], end=80_000)
    assert spans_of(final) == [("it", 2_000, 5_000)]
    assert final.text == "a b c d"
    assert final.language_probability == 0.25, "of the longer part"


def test_a_span_that_has_just_begun_is_none_yet_and_ends_the_one_before_it() -> None:
    shown = SegmentAssembler(0, 32_000).partial([italian("a b", 3_000), french("", 0)])
    assert shown is not None
    assert spans_of(shown) == [("it", 2_000, 3_000)]
    assert shown.end_ms == 3_000


def test_what_was_heard_beyond_a_cut_is_not_shown() -> None:
    words = " ".join("abcdefghijklmn")
    shown = SegmentAssembler(0, 32_000).partial([italian(words, 1_400), french("x")])
    assert shown is not None
    assert shown.text == "a b c d e f g h i j x"
    assert shown.text == " ".join(word.text for word in shown.words)
    assert [word.language for word in shown.words] == ["it"] * 10 + ["fr"]


def test_a_cut_does_not_put_spaces_into_a_script_without_them() -> None:
    beyond = italian("今 日 は い い 天 気 で す ね え", 1_100, glue="")
    shown = SegmentAssembler(0, 32_000).partial([beyond, french("bon jour")])
    assert shown is not None
    assert shown.text == "今日はいい天気ですね bon jour"


def test_two_finals_in_a_script_without_spaces() -> None:
    second = Heard(replace(SOURCE, start=48_000), hypothesis("い い", glue=""))
    final = SegmentAssembler(0, 32_000).final([italian("今 日", glue=""), second], end=80_000)
    assert final.text == "今日いい"


def test_words_before_a_change_stay_stable() -> None:
    assembler = SegmentAssembler(0, 32_000)
    words = " ".join("abcdefghijkl")
    partials(words, words, assembler=assembler)
    assembler.language_changed(48_000)
    kept = assembler.partial([italian(words), french("x")])
    assert kept is not None
    assert kept.text == "a b c d e f g h i j x"
    assert kept.stable_words == 10
    revised = assembler.partial([italian("a z"), french("x y")])
    assert revised is not None
    assert revised.text == "a b c d e f g h i j x y"
    assert revised.stable_words == 11


def test_a_word_in_another_language_is_another_word() -> None:
    assembler = SegmentAssembler(0, 32_000)
    assembler.partial([italian(" ".join("abcdefghijk"))])
    shown = assembler.partial([italian(" ".join("abcdefghij")), french("k")])
    assert shown is not None
    assert (shown.text, shown.stable_words) == ("a b c d e f g h i j k", 10)


def test_a_change_that_was_none_takes_its_words_along() -> None:
    assembler = SegmentAssembler(0, 32_000)
    for _ in range(2):
        assembler.partial([italian("a b"), french("x y")])
    assembler.language_changed(48_000)
    shown = assembler.partial([italian("a b c")])
    assert shown is not None
    assert (shown.text, shown.stable_words) == ("a b c", 2)


word_times = st.lists(st.tuples(st.integers(-500, 4_000), st.integers(-500, 4_000)), max_size=8)


@given(word_times, st.integers(0, 64_000), st.integers(0, 64_000), st.integers(0, 64_000))
def test_word_times_are_in_order_and_within_the_segment(
    times: list[tuple[int, int]], start: int, span_start: int, length: int
) -> None:
    heard = asr_pb2.Hypothesis(
        text="w",
        words=[asr_pb2.HypothesisWord(text="w", start_ms=a, end_ms=b) for a, b in times],
        audio_ms=length // 16,
    )
    spans = [Heard(replace(SOURCE, start=span_start), heard)]
    assembler = SegmentAssembler(0, start)
    final = assembler.final(spans, start + length)
    assert len(final.words) == len(times)
    for transcript in (assembler.partial(spans), final):
        if transcript is None:
            continue
        edges = [transcript.start_ms]
        for word in transcript.words:
            edges += [word.start_ms, word.end_ms]
        edges.append(transcript.end_ms)
        assert edges == sorted(edges)


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=6).map(" ".join), min_size=1, max_size=12))
def test_what_is_stable_stays(texts: list[str]) -> None:
    assembler = SegmentAssembler(0, 32_000)
    shown = [assembler.partial([italian(text)]) for text in texts]
    sent = [one for one in shown if one is not None]
    for one in sent:
        assert 0 <= one.stable_words <= len(one.words)
        assert one.text == " ".join(word.text for word in one.words)
        edges = [edge for word in one.words for edge in (word.start_ms, word.end_ms)]
        assert edges == sorted(edges)
    for before, after in pairwise(sent):
        assert after.stable_words >= before.stable_words
        stable = [word.text for word in before.words[: before.stable_words]]
        assert [word.text for word in after.words[: before.stable_words]] == stable
        assert (before.text, before.stable_words) != (after.text, after.stable_words)


texts = st.lists(st.sampled_from("ab"), max_size=12).map(" ".join)


@given(st.lists(st.tuples(texts, st.none() | texts, st.booleans()), min_size=1, max_size=12))
def test_what_is_stable_stays_until_the_language_changes(
    passes: list[tuple[str, str | None, bool]],
) -> None:
    assembler = SegmentAssembler(0, 32_000)
    stable: list[transcription_pb2.Word] = []
    for first, second, changes in passes:
        if changes:
            assembler.language_changed(48_000)
            stable = [word for word in stable if word.end_ms <= 3_000]
        spans = [italian(first)] if second is None else [italian(first), french(second)]
        shown = assembler.partial(spans)
        if shown is None:
            continue
        assert shown.text == " ".join(word.text for word in shown.words)
        edges = [edge for word in shown.words for edge in (word.start_ms, word.end_ms)]
        assert edges == sorted(edges)
        assert shown.stable_words >= len(stable)
        assert [(word.text, word.language) for word in shown.words[: len(stable)]] == [
            (word.text, word.language) for word in stable
        ]
        stable = list(shown.words[: shown.stable_words])
