"""Step 10: times, stability, and what is worth sending."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from panglot.v1 import asr_pb2, transcription_pb2

from gateway.assembler import SegmentAssembler, SpanSource

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


def partials(
    *texts: str, assembler: SegmentAssembler | None = None
) -> list[tuple[str, int] | None]:
    """Text and stable words of each partial, None where nothing was to be sent."""
    assembler = assembler or SegmentAssembler(3, 32_000)
    shown = [assembler.partial(SOURCE, hypothesis(text)) for text in texts]
    return [None if one is None else (one.text, one.stable_words) for one in shown]


def test_a_partial_in_full() -> None:
    partial = SegmentAssembler(3, 31_000).partial(SOURCE, hypothesis("buon giorno", audio_ms=500))
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
    )
    assert not partial.HasField("confidence")
    assert not partial.words[0].HasField("confidence")


def test_a_final_in_full() -> None:
    fixed = replace(SOURCE, language_probability=None)
    final = SegmentAssembler(0, 32_000).final(fixed, hypothesis("buon giorno"), end=35_000)
    assert (final.start_ms, final.end_ms) == (2_000, 2_187)
    assert [(w.start_ms, w.end_ms, w.confidence) for w in final.words] == [
        (2_000, 2_100, 0.5),
        (2_100, 2_187, 0.5),
    ]
    assert final.confidence == 0.25
    assert final.stable_words == 2
    assert not final.HasField("language_probability")


def test_a_final_without_words_is_still_a_final() -> None:
    final = SegmentAssembler(5, 0).final(SOURCE, asr_pb2.Hypothesis(), end=64_000)
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
    shown = assembler.partial(SOURCE, asr_pb2.Hypothesis(text="x", words=[longer], audio_ms=500))
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
        shown = assembler.partial(SOURCE, hypothesis(text, glue=""))
    assert shown is not None
    assert shown.text == "今日はいい"


def test_a_language_change_starts_from_nothing() -> None:
    assembler = SegmentAssembler(0, 32_000)
    shown = [assembler.shown]
    partials("a b", "a b", assembler=assembler)
    shown.append(assembler.shown)
    assembler.language_changed()
    shown.append(assembler.shown)
    assert shown == [False, True, False]
    assert partials("x y", "x y z", assembler=assembler) == [("x y", 0), ("x y z", 2)]


def test_the_same_words_are_news_after_a_language_change() -> None:
    assembler = SegmentAssembler(0, 32_000)
    partials("no", assembler=assembler)
    assembler.language_changed()
    assert partials("no", assembler=assembler) == [("no", 0)]


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
    source = replace(SOURCE, start=span_start)
    assembler = SegmentAssembler(0, start)
    for transcript in (
        assembler.partial(source, heard),
        assembler.final(source, heard, start + length),
    ):
        if transcript is None:
            continue
        assert len(transcript.words) == len(times)
        edges = [transcript.start_ms]
        for word in transcript.words:
            edges += [word.start_ms, word.end_ms]
        edges.append(transcript.end_ms)
        assert edges == sorted(edges)


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=6).map(" ".join), min_size=1, max_size=12))
def test_what_is_stable_stays(texts: list[str]) -> None:
    assembler = SegmentAssembler(0, 32_000)
    shown = [assembler.partial(SOURCE, hypothesis(text)) for text in texts]
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
