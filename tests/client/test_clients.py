"""Both clients against a gateway on a real socket: order, content, errors, cancellation."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from panglot.v1 import transcription_pb2 as pb

from client import (
    AsyncClient,
    AudioFormat,
    Client,
    Encoding,
    Ended,
    Event,
    FileTranscript,
    Final,
    LanguageChange,
    LanguageSelection,
    LanguageSpan,
    Options,
    Partial,
    ServerUnreachable,
    Started,
    TranscriptionError,
    ZeroShot,
    wire,
)
from client.types import Language, Piece
from tests.client.fake_gateway import (
    WALLOON,
    FakeGateway,
    Requests,
    Responses,
    fake_gateway,
    transcribe_walloon,
)

AWAY = "127.0.0.1:1"


def heard(client_kind: str, address: str, audio: Sequence[Piece], **how: object) -> list[Event]:
    """All events of a stream, by the blocking or the asynchronous client."""
    audio_format, options = how.get("audio_format"), how.get("options")
    assert audio_format is None or isinstance(audio_format, AudioFormat)
    assert options is None or isinstance(options, Options)
    if client_kind == "blocking":
        with Client(address) as client:
            return list(client.transcribe(audio, audio_format, options))

    async def run() -> list[Event]:
        async with AsyncClient(address) as client:
            return [event async for event in client.transcribe(audio, audio_format, options)]

    return asyncio.run(run())


def heard_in_file(client_kind: str, address: str, path: Path | str) -> FileTranscript:
    """A file's transcript by either client."""
    if client_kind == "blocking":
        with Client(address) as client:
            return client.transcribe_file(path)

    async def run() -> FileTranscript:
        async with AsyncClient(address) as client:
            return await client.transcribe_file(path)

    return asyncio.run(run())


both = pytest.mark.parametrize("kind", ["blocking", "async"])


@both
def test_events_come_in_order_and_complete(kind: str, gateway: FakeGateway) -> None:
    events = heard(kind, gateway.address, [b"\1\2" * 800, b"", b"\3\4" * 800])
    assert [type(event) for event in events] == [
        Started,
        Partial,
        Final,
        LanguageChange,
        Final,
        Ended,
    ]
    last = events[4]
    assert isinstance(last, Final)
    assert last.segment.text == "hola a todos"
    assert last.segment.words[2].confidence == 0.875
    assert last.segment.language_probability is None
    assert last.segment.spans == (LanguageSpan(1000, 1900, "es", "es-asterisk@1", 0.75),)
    assert events[3] == LanguageChange(1, 1000, "en", "es", 0.75)
    assert gateway.audio == b"\1\2" * 800 + b"\3\4" * 800


@both
def test_a_language_by_its_relative_says_so(kind: str) -> None:
    french = ZeroShot("fr", "French", 0.75)
    with fake_gateway(transcribe_walloon) as gateway:
        started, final, _ = heard(kind, gateway.address, [b"\0"])
    assert started == Started("s1", (Language("wa", "Walloon", "fr@1", None, french),))
    assert isinstance(final, Final)
    assert final.segment.zero_shot == french
    assert [span.zero_shot for span in final.segment.spans] == [french]


def test_of_a_relative_that_an_operator_chose_no_similarity_is_known() -> None:
    chosen = pb.Language()
    chosen.CopyFrom(WALLOON)
    chosen.zero_shot.ClearField("similarity")
    (language,) = wire.languages(pb.ListLanguagesResponse(languages=[chosen]))
    assert language.zero_shot == ZeroShot("fr", "French", None)


@both
def test_configuration_reaches_the_server(kind: str, gateway: FakeGateway) -> None:
    audio_format = AudioFormat(Encoding.MULAW, 8000, 2)
    options = Options(
        candidates=("en", "es"),
        hints={"es": 4},
        partial_results=False,
        end_silence_ms=300,
        boosted_phrases=("Ahmed Hassan", "sertraline"),
    )
    heard(kind, gateway.address, [b"\0"], audio_format=audio_format, options=options)
    config = gateway.config
    assert config.audio.encoding == pb.AUDIO_ENCODING_MULAW
    assert (config.audio.sample_rate_hz, config.audio.channel_count) == (8000, 2)
    assert list(config.language.candidates.languages) == ["en", "es"]
    assert [(hint.language, hint.weight) for hint in config.language.hints] == [("es", 4)]
    assert (config.partial_results, config.end_silence_ms) == (False, 300)
    assert list(config.boosted_phrases) == ["Ahmed Hassan", "sertraline"]
    assert not config.HasField("max_segment_ms")


@both
def test_languages_change_between_pieces(kind: str, gateway: FakeGateway) -> None:
    pieces: list[Piece] = [
        bytes(320),
        LanguageSelection(language="es"),
        LanguageSelection(candidates=("en", "es"), hints={"en": 0.5}),
        bytes(640),
        LanguageSelection(),
    ]
    heard(kind, gateway.address, pieces)
    assert len(gateway.audio) == 960
    first, second, last = gateway.selections
    assert first == (320, pb.LanguageSelection(fixed="es"))
    assert second[0] == 320
    assert list(second[1].candidates.languages) == ["en", "es"]
    assert [(hint.language, hint.weight) for hint in second[1].hints] == [("en", 0.5)]
    assert last == (960, pb.LanguageSelection())


@both
def test_large_pieces_are_sent_in_several_messages(kind: str, gateway: FakeGateway) -> None:
    heard(kind, gateway.address, [bytes(150_000)])
    assert gateway.message_sizes == [65_536, 65_536, 18_928]


@both
def test_file_becomes_transcript(kind: str, gateway: FakeGateway, wav: Path) -> None:
    transcript = heard_in_file(kind, gateway.address, wav)
    assert (transcript.file, transcript.duration_ms) == (str(wav), 1250)
    assert [segment.language for segment in transcript.segments] == ["en", "es"]
    assert gateway.config.audio.sample_rate_hz == 16_000
    assert len(gateway.audio) == 40_000
    assert max(gateway.message_sizes) == 3200


@both
def test_status_of_the_server_is_raised(kind: str) -> None:
    def refuse(_: FakeGateway, __: Requests, context: grpc.ServicerContext) -> Responses:
        if context.is_active():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "language: no such language: xx")
        yield pb.TranscribeResponse()

    with fake_gateway(refuse) as gateway, pytest.raises(TranscriptionError) as raised:
        heard(kind, gateway.address, [bytes(3200)] * 100)
    assert raised.value.code == "INVALID_ARGUMENT"
    assert raised.value.message == "language: no such language: xx"


@both
def test_status_arrives_also_in_the_middle_of_writing(kind: str) -> None:
    def give_up(_: FakeGateway, requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield pb.TranscribeResponse(started=pb.StreamStarted(stream_id="s"))
        for _request in zip(range(20), requests, strict=False):
            pass
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much audio")

    with fake_gateway(give_up) as gateway:
        for _ in range(30):
            with pytest.raises(TranscriptionError) as raised:
                heard(kind, gateway.address, [bytes(32_000)] * 100)
            assert (raised.value.code, raised.value.message) == (
                "RESOURCE_EXHAUSTED",
                "too much audio",
            )


@both
def test_nothing_at_the_address(kind: str, wav: Path) -> None:
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:1; start one with `panglot serve`"):
        heard_in_file(kind, AWAY, wav)


@both
def test_stream_that_breaks_off_is_no_transcript(kind: str, wav: Path) -> None:
    def stop_early(_: FakeGateway, requests: Requests, __: grpc.ServicerContext) -> Responses:
        yield pb.TranscribeResponse(started=pb.StreamStarted(stream_id="s"))

    with fake_gateway(stop_early) as gateway, pytest.raises(TranscriptionError, match="too early"):
        heard_in_file(kind, gateway.address, wav)


def test_what_the_source_raises_is_raised(gateway: FakeGateway) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(3200)
        raise ValueError("the microphone fell off")

    with Client(gateway.address) as client, pytest.raises(ValueError, match="fell off"):
        list(client.transcribe(broken()))


async def test_what_the_async_source_raises_is_raised(gateway: FakeGateway) -> None:
    started = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(3200)
        await started.wait()
        raise ValueError("the microphone fell off")

    async def listen(client: AsyncClient) -> None:
        async for _ in client.transcribe(broken()):
            started.set()

    async with AsyncClient(gateway.address) as client:
        with pytest.raises(ValueError, match="fell off"):
            await listen(client)
    assert await asyncio.to_thread(gateway.cancelled.wait, 5)


async def test_cancelling_the_task_cancels_the_stream(gateway: FakeGateway) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(320)
            await asyncio.sleep(0.01)

    async def listen(client: AsyncClient) -> None:
        async for _ in client.transcribe(endless()):
            started.set()

    async with AsyncClient(gateway.address) as client:
        task = asyncio.create_task(listen(client))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gateway.cancelled.wait, 5)


def test_leaving_the_loop_cancels_the_stream(gateway: FakeGateway) -> None:
    silence = threading.Event()

    def endless() -> Iterator[bytes]:
        while not silence.wait(0.01):
            yield bytes(320)

    with Client(gateway.address) as client:
        events = client.transcribe(endless())
        assert isinstance(next(events), Started)
        events.close()  # type: ignore[attr-defined]
        assert gateway.cancelled.wait(5)
    silence.set()


def test_slow_server_holds_the_source_back() -> None:
    release, taken = threading.Event(), []

    def stall(_: FakeGateway, requests: Requests, __: grpc.ServicerContext) -> Responses:
        yield pb.TranscribeResponse(started=pb.StreamStarted(stream_id="s"))
        release.wait(5)

    def audio() -> Iterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield bytes(60_000)

    with fake_gateway(stall) as gateway, Client(gateway.address) as client:
        events = client.transcribe(audio())
        next(events)
        threading.Event().wait(0.2)
        assert len(taken) < 500
        release.set()
        list(events)


def test_blocking_languages_and_fleet(gateway: FakeGateway) -> None:
    with Client(gateway.address) as client:
        languages, fleet = client.languages(), client.fleet()
        (walloon,) = client.languages(["wa"])
    assert (walloon.served_by, walloon.zero_shot) == ("fr@1", ZeroShot("fr", "French", 0.75))
    assert [(each.tag, each.held_out_wer) for each in languages] == [("en", 0.125), ("cy", None)]
    assert fleet.workers[0].resident_adapters == ("es-asterisk@1", "en-asterisk@1")
    assert not fleet.registry_available


async def test_async_languages_and_fleet(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.address) as client:
        assert [each.name for each in await client.languages()] == ["English", "Welsh"]
        assert [each.tag for each in await client.languages(["wa", "cy"])] == ["wa", "cy"]
        assert (await client.fleet()).workers[0].memory_bytes == 512 * 2**20
    async with AsyncClient(AWAY) as client:
        with pytest.raises(ServerUnreachable):
            await client.fleet()


@pytest.mark.parametrize("kind", [Options, LanguageSelection])
def test_what_excludes_a_language(kind: type[Options] | type[LanguageSelection]) -> None:
    with pytest.raises(ValueError, match="either a language or candidates, not both"):
        kind(language="en", candidates=("es",))
    with pytest.raises(ValueError, match="either a language or hints, not both"):
        kind(language="en", hints={"en": 2})


@pytest.mark.parametrize("weight", [0, -1, 0.0009, 1001, math.nan, math.inf])
@pytest.mark.parametrize("kind", [Options, LanguageSelection])
def test_a_hint_has_bounds(kind: type[Options] | type[LanguageSelection], weight: float) -> None:
    with pytest.raises(ValueError, match=r"the hint for 'en' weighs .*: give 0\.001 to 1000"):
        kind(hints={"en": weight})
    assert kind(hints={"en": 0.001, "es": 1000}).hints["es"] == 1000
