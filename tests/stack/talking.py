"""Streams over a real socket, message by message, and the rules their events keep."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import grpc
from panglot.v1 import transcription_pb2 as pb
from panglot.v1.transcription_pb2_grpc import TranscriptionServiceStub

from client.status import ServerStatus
from tests.stack.running import PATIENCE_S

Request = pb.TranscribeRequest
Event = pb.TranscribeResponse
END = Request(end_of_audio=pb.EndOfAudio())


@dataclass
class Outcome:
    """What came of a stream."""

    events: list[Event] = field(default_factory=list)
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""

    @property
    def kinds(self) -> list[str]:
        """The kinds of all events, in order."""
        return [kind for event in self.events if (kind := event.WhichOneof("event"))]

    @property
    def finals(self) -> list[pb.Transcript]:
        """All finals, in order."""
        return [event.final for event in self.events if event.HasField("final")]

    @property
    def text(self) -> str:
        """All that was heard."""
        return " ".join(final.text for final in self.finals)


def configuration(
    encoding: pb.AudioEncoding.ValueType = pb.AUDIO_ENCODING_PCM_S16LE,
    rate: int = 16_000,
    *,
    channels: int | None = None,
    fixed: str | None = None,
    candidates: Iterable[str] | None = None,
    partials: bool | None = None,
    end_silence_ms: int | None = None,
    max_segment_ms: int | None = None,
    boosted: Iterable[str] = (),
    hints: Mapping[str, float] | None = None,
) -> Request:
    """The first message."""
    return Request(
        config=pb.StreamConfig(
            audio=pb.AudioFormat(encoding=encoding, sample_rate_hz=rate, channel_count=channels),
            language=selection(fixed, candidates, hints),
            partial_results=partials,
            end_silence_ms=end_silence_ms,
            max_segment_ms=max_segment_ms,
            boosted_phrases=boosted,
        )
    )


def selection(
    fixed: str | None = None,
    candidates: Iterable[str] | None = None,
    hints: Mapping[str, float] | None = None,
) -> pb.LanguageSelection:
    """Languages to listen for; none: all."""
    asked = pb.LanguageSelection()
    if fixed is not None:
        asked.fixed = fixed
    if candidates is not None:
        asked.candidates.CopyFrom(pb.LanguageCandidates(languages=candidates))
    for tag, weight in (hints or {}).items():
        asked.hints.add(language=tag, weight=weight)
    return asked


def pieces(audio: bytes, size: int = 32_000) -> list[Request]:
    """Audio messages of `size` bytes."""
    return [Request(audio=audio[at : at + size]) for at in range(0, len(audio), size)]


async def spoken(first: Request, pcm: bytes, speed: float = 1) -> AsyncIterator[Request]:
    """A whole stream: 16 kHz s16le in pieces of 100 ms, `speed` times as fast as it was spoken."""
    yield first
    async for piece in paced(pcm, speed):
        yield piece
    yield END


async def paced(pcm: bytes, speed: float = 1) -> AsyncIterator[Request]:
    """The audio of such a stream alone."""
    for piece in pieces(pcm, 3200):
        yield piece
        await asyncio.sleep(0.1 / speed)


async def talk(
    address: str,
    requests: Iterable[Request] | AsyncIterable[Request],
    on_event: Callable[[Event], None] = lambda event: None,
    *,
    stay_open: bool = False,
) -> Outcome:
    """Send `requests`, read everything, and say how it ended."""
    outcome = Outcome()
    async with asyncio.timeout(PATIENCE_S), channel_to(address) as channel:
        call = TranscriptionServiceStub(channel).Transcribe()
        status = ServerStatus(call)
        sender = asyncio.create_task(_send(call, requests, stay_open))
        try:
            async for event in call:
                outcome.events.append(event)
                on_event(event)
        except grpc.aio.AioRpcError as error:
            outcome.code, outcome.details = status.behind(error)
        finally:
            sender.cancel()
            call.cancel()
            with suppress(asyncio.CancelledError):
                await sender
    return outcome


def channel_to(address: str) -> grpc.aio.Channel:
    """A channel of its own; a proxy from the environment is no way to loopback."""
    return grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])


async def _send(
    call: grpc.aio.StreamStreamCall[Request, Event],
    requests: Iterable[Request] | AsyncIterable[Request],
    stay_open: bool,
) -> None:
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        if isinstance(requests, AsyncIterable):
            async for request in requests:
                await call.write(request)
        else:
            for request in requests:
                await call.write(request)
        if not stay_open:
            await call.done_writing()


def check_protocol(events: list[Event]) -> None:
    """What `transcription.proto` promises of every stream that ends with OK."""
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "ended"
    assert "started" not in kinds[1:]
    assert "ended" not in kinds[:-1]
    ended = events[-1].ended
    assert ended.segment_count == kinds.count("final")
    assert 0 <= ended.speech_ms <= ended.audio_ms
    segments: dict[int, list[Event]] = {}
    order = []
    for event in events[1:-1]:
        number = _segment_of(event)
        order.append(number)
        segments.setdefault(number, []).append(event)
    assert order == sorted(order), "segments follow one another"
    before_ms = 0
    for of_segment in segments.values():
        _check_segment([event.WhichOneof("event") or "" for event in of_segment])
        _check_stable_words(of_segment)
        final = of_segment[-1].final
        assert before_ms <= final.start_ms <= final.end_ms <= ended.audio_ms
        before_ms = final.end_ms
        _check_final(final)


def _segment_of(event: Event) -> int:
    match event.WhichOneof("event"):
        case "partial":
            return event.partial.segment
        case "language_change":
            return event.language_change.segment
        case "final":
            return event.final.segment
    raise AssertionError(f"in the middle of a stream: {event}")


def _check_segment(kinds: list[str]) -> None:
    assert kinds.count("final") == 1
    assert kinds[-1] == "final"


def _check_stable_words(events: list[Event]) -> None:
    stable: list[pb.Word] = []
    for event in events:
        if event.HasField("language_change"):
            stable = [word for word in stable if word.end_ms <= event.language_change.start_ms]
        if event.HasField("partial"):
            partial = event.partial
            assert len(stable) <= partial.stable_words <= len(partial.words)
            for before, now in zip(stable, partial.words, strict=False):
                assert (before.text, before.language) == (now.text, now.language)
            stable = list(partial.words[: partial.stable_words])
            assert not partial.HasField("confidence")
            _check_spans(partial)


def _check_final(final: pb.Transcript) -> None:
    assert final.stable_words == len(final.words)
    assert 0 <= final.confidence <= 1
    assert final.adapter
    _check_spans(final)
    at_ms = final.start_ms
    for word in final.words:
        assert at_ms <= word.start_ms <= word.end_ms <= final.end_ms
        assert word.HasField("confidence")
        assert 0 <= word.confidence <= 1
        at_ms = word.end_ms


def _check_spans(transcript: pb.Transcript) -> None:
    spans = transcript.spans
    assert (spans[0].start_ms, spans[-1].end_ms) == (transcript.start_ms, transcript.end_ms)
    for before, after in pairwise(spans):
        assert before.end_ms == after.start_ms
        assert before.language != after.language
    longest: Counter[str] = Counter()
    for span in spans:
        assert span.adapter
        longest[span.language] += span.end_ms - span.start_ms
    assert longest[transcript.language] == max(longest.values())
    for word in transcript.words:
        around = {s.language for s in spans if s.start_ms <= word.start_ms <= s.end_ms}
        assert word.language in around
