"""What came back for a stream, judged: from events to rows and claims."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

import pytest

from benchmarks import code_switch_play
from benchmarks.code_switch_audio import Kind, Span, Stream
from benchmarks.code_switch_play import Played, claimed, in_order, play, stretches, told
from benchmarks.code_switch_scores import Pair, claims, judge, latency_rows, rows
from benchmarks.code_switch_set import CONTROL
from benchmarks.language_error import Claim, Stretch
from client.aio import AsyncClient
from client.errors import TranscriptionError
from client.types import (
    Event,
    Final,
    LanguageChange,
    LanguageSpan,
    Options,
    Partial,
    Segment,
    Started,
)

TWO = Kind("two languages", "long pause")
SPANS = (Span("it", 0, 100, "uno due"), Span("fr", 200, 300, "un deux"))
STREAM = Stream(TWO, bytes(2 * 16 * 400), SPANS)


def segment(
    start_ms: int, end_ms: int, text: str, *spans: tuple[str, int, int], language: str = "it"
) -> Segment:
    return Segment(
        number=0,
        start_ms=start_ms,
        end_ms=end_ms,
        language=language,
        text=text,
        confidence=None,
        adapter="universal",
        words=(),
        spans=tuple(LanguageSpan(start, end, tag, "universal", None) for tag, start, end in spans),
    )


class Answering:
    """Hears all of each stream, then says the same of it; full for the first ones."""

    def __init__(self, *events: Event, refusals: int = 0) -> None:
        self._events = events
        self._refusals = refusals
        self.heard: list[tuple[int, Options]] = []

    async def transcribe(
        self, audio: AsyncIterator[bytes] | list[bytes], *, options: Options
    ) -> AsyncIterator[Event]:
        if self._refusals:
            self._refusals -= 1
            raise TranscriptionError("RESOURCE_EXHAUSTED", "all workers are full")
        pieces = audio if isinstance(audio, list) else [piece async for piece in audio]
        self.heard.append((len(b"".join(pieces)), options))
        for event in self._events:
            yield event


class Refusing:
    """Breaks off at the first piece."""

    async def transcribe(
        self, audio: AsyncIterator[bytes], *, options: Options
    ) -> AsyncIterator[Event]:
        async for _ in audio:
            raise TranscriptionError("UNAVAILABLE", "there is nobody")
        yield Started("never")


def test_a_segment_is_as_the_server_divides_it_or_one() -> None:
    divided = segment(0, 300, "uno un", ("it", 0, 150), ("fr", 150, 300))
    assert stretches(divided) == [Stretch("it", 0, 150), Stretch("fr", 150, 300)]
    assert stretches(segment(0, 300, "uno un")) == [Stretch("it", 0, 300)]


def test_events_claim_languages() -> None:
    change = LanguageChange(0, 200, "it", "fr", 0.9)
    assert claimed(change, 260.5) == [Claim(260.5, "fr", 200, 261)]
    assert claimed(Partial(segment(0, 90, "uno")), 120) == [Claim(120, "it", 0, 90)]
    assert claimed(Final(segment(0, 90, "")), 120) == []
    assert claimed(Started("x"), 0) == []


async def test_a_stream_is_played_and_what_comes_late_is_late() -> None:
    client = Answering(
        Partial(segment(0, 90, "uno")),
        Final(segment(0, 110, "uno due")),
        Final(segment(200, 300, "un deux", language="fr")),
    )
    played = await play(cast(AsyncClient, client), STREAM, Options(candidates=("fr", "it")))
    assert client.heard[0][0] == len(STREAM.pcm)
    assert played.heard == (Stretch("it", 0, 110), Stretch("fr", 200, 300))
    assert played.text == "uno due un deux"
    assert all(claim.heard_ms >= 399 for claim in played.claims)
    first, second = played.latency_ms
    assert first > second > 0


async def test_a_stream_that_breaks_off_is_all_wrong() -> None:
    played = await play(cast(AsyncClient, Refusing()), STREAM, Options())
    assert "there is nobody" in played.broken
    judged = judge(played, "uno due un deux")
    assert (judged.wrong, judged.words, judged.told_wrong) == (4, 4, 0)
    assert not any(change.found for change in judged.changes)


async def test_a_stream_that_finds_the_server_full_begins_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(code_switch_play, "AGAIN_S", 0.0)
    client = Answering(Final(segment(0, 110, "uno due")), refusals=2)
    played = await play(cast(AsyncClient, client), STREAM, Options())
    assert (played.text, played.broken) == ("uno due", "")


async def test_the_oracle_is_sent_each_span_by_its_true_boundaries_and_language() -> None:
    client = Answering(Final(segment(0, 100, "uno")))
    assert await told(cast(AsyncClient, client), STREAM) == "uno uno"
    assert [length for length, _ in client.heard] == [2 * 16 * 100] * 2
    assert [options.language for _, options in client.heard] == ["it", "fr"]


async def test_results_keep_the_order_of_the_jobs() -> None:
    async def job(n: int) -> int:
        return n

    assert await in_order([partial(job, n) for n in range(5)], 2, "") == list(range(5))


def long_stream(kind: Kind = TWO, second: str = "fr") -> Stream:
    spans = (Span("it", 0, 2000, "uno due"), Span(second, 2500, 4500, "trois quatre"))
    return Stream(kind, bytes(2 * 16 * 5500), spans)


def test_rows_and_claims_of_two_streams() -> None:
    right = Played(
        long_stream(),
        heard=(Stretch("it", 0, 2100), Stretch("fr", 2400, 4500)),
        claims=(Claim(2200, "it", 0, 2100), Claim(3300, "fr", 2400, 3300)),
        text="uno due trois quatre",
    )
    wrong = Played(
        long_stream(),
        heard=(Stretch("it", 0, 4500),),
        claims=(Claim(4900, "it", 0, 4500),),
        text="uno due tre quattro",
    )
    streams = [judge(right, "uno due trois quatre"), judge(wrong, "uno due trois cinq")]
    kind, _, whole = rows(streams)
    assert kind | {"languages": "all", "joint": "all"} == whole
    assert whole["language_error"][0] == pytest.approx(0.25)
    assert (whole["missed"], whole["confused"]) == (0, 0.25)
    assert (whole["changes"], whole["changes_missed"]) == (2, 1)
    assert whole["change_found_p50_ms"][0] == 800
    assert whole["boundary_off_p50_ms"] == 0
    assert (whole["wer"], whole["wer_told"]) == (0.25, 0.125)
    assert whole["wer_over_oracle"][0] == 2
    quoted = claims(streams, ())
    assert quoted["language_error"] == pytest.approx(0.25)
    assert quoted["changes_found"] == 0.5
    assert "extra_latency_p50_ms" not in quoted


def test_changes_missed_by_most_have_no_median() -> None:
    nothing = judge(Played(long_stream()), "")
    (kind, *_) = rows([nothing])
    assert kind["change_found_p50_ms"] == [None] * 3
    assert kind["missed"] == 1


def test_extra_latency_is_that_of_the_same_utterances() -> None:
    stream = long_stream(Kind(CONTROL, "long pause"), "it")
    pairs = (
        Pair(Played(stream, latency_ms=(520, 503)), Played(stream, latency_ms=(500, 500))),
        Pair(Played(stream, latency_ms=(math.inf, 501)), Played(stream, latency_ms=(480, 500))),
    )
    quoted = claims([judge(Played(long_stream()), "")], pairs)
    assert quoted["extra_latency_p50_ms"] == 3
    assert quoted["extra_latency_first_p50_ms"] == 10.5
    identified, by_hand = latency_rows(pairs)
    assert (identified["unanswered"], by_hand["unanswered"]) == (1, 0)
    assert identified["utterances"] == 4
