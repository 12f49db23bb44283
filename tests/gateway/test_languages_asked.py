"""Languages that change in the middle of a stream: one gateway, real sockets, both clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from panglot.v1 import transcription_pb2 as pb
from panglot.v1 import transcription_pb2_grpc

from client import (
    AsyncClient,
    AudioFormat,
    Client,
    Encoding,
    Event,
    Final,
    LanguageSelection,
    Options,
    Started,
    TranscriptionError,
)
from client.types import Piece
from common.catalogue import Catalogue, ServedLanguage
from common.errors import InvalidRequest
from common.fleet import UNIVERSAL
from common.registry import FleetWatcher
from gateway import segment
from gateway.options import Options as GatewayOptions
from gateway.options import Services
from gateway.servicer import TranscriptionServicer
from gateway.session import Session
from gateway.settings import GatewaySettings
from tests.gateway.serving import FakeLid, FakeWorker, services_of, stream
from tests.gateway.test_session import CLIP, speech

Request = pb.TranscribeRequest
PAUSE = bytes(32_000)
CATALOGUE = Catalogue(
    {tag: ServedLanguage(tag, tag, UNIVERSAL, None, None) for tag in ("en", "fr", "it")}
)


@asynccontextmanager
async def services() -> AsyncIterator[Services]:
    """A worker that hears the name of its language, and identification that hears English."""
    async with stream(worker=FakeWorker(echo=True)) as speaking:
        yield services_of(CATALOGUE, speaking.workers, FakeLid(*["en"] * 100))


@asynccontextmanager
async def gateway() -> AsyncIterator[str]:
    """The address of a gateway."""
    async with services() as serving:
        server = grpc.aio.server()
        transcription_pb2_grpc.add_TranscriptionServiceServicer_to_server(
            TranscriptionServicer(serving, cast(FleetWatcher, None), GatewaySettings()), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[GatewayOptions]:
    """What each segment began with, in order."""
    options: list[GatewayOptions] = []

    class Recorded(segment.Segment):
        def __init__(self, *values: Any) -> None:
            options.extend(value for value in values if isinstance(value, GatewayOptions))
            super().__init__(*values)

    monkeypatch.setattr("gateway.session.Segment", Recorded)
    return options


async def heard(
    pieces: Sequence[Piece], options: Options, audio: AudioFormat | None = None
) -> list[Event]:
    """All events of one stream of the asynchronous client."""
    async with gateway() as address, AsyncClient(address) as client:
        return [event async for event in client.transcribe(pieces, audio, options)]


def finals(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Language and text of each."""
    return [(e.segment.language, e.segment.text) for e in events if isinstance(e, Final)]


async def test_each_segment_has_the_languages_asked_for_before_it(
    begun: list[GatewayOptions],
) -> None:
    utterance = speech() + PAUSE
    events = await heard(
        [
            utterance,
            LanguageSelection(language="fr"),
            utterance,
            LanguageSelection(candidates=("en", "it"), hints={"it": 4}),
            utterance,
            LanguageSelection(hints={"fr": 0.25}),
            utterance,
            LanguageSelection(),
            utterance,
        ],
        Options(language="it"),
    )
    assert sum(isinstance(event, Started) for event in events) == 1
    assert finals(events)[:2] == [("it", "it"), ("fr", "fr")]
    assert [
        (asked.fixed and asked.fixed.tag, asked.candidates, asked.weights) for asked in begun
    ] == [
        ("it", None, {}),
        ("fr", None, {}),
        (None, ("en", "it"), {"it": 4}),
        (None, None, {"fr": 0.25}),
        (None, None, {}),
    ]


async def test_the_blocking_client_changes_languages_too() -> None:
    pieces: list[Piece] = [speech() + PAUSE, LanguageSelection(language="fr"), speech()]

    def listen(address: str) -> list[Event]:
        with Client(address) as client:
            return list(client.transcribe(pieces, options=Options(language="en")))

    async with gateway() as address:
        events = await asyncio.to_thread(listen, address)
    assert finals(events) == [("en", "en"), ("fr", "fr")]


async def test_an_open_segment_keeps_what_it_began_with() -> None:
    said = speech()
    middle = len(said) // 4 * 2
    pieces: list[Piece] = [
        said[:middle],
        LanguageSelection(language="fr"),
        said[middle:] + PAUSE,
        said,
    ]
    events = await heard(pieces, Options(language="en"))
    assert finals(events) == [("en", "en"), ("fr", "fr")]


async def test_the_last_of_several_changes_counts() -> None:
    pieces = [LanguageSelection(language=tag) for tag in ("fr", "en", "it")]
    assert finals(await heard([*pieces, speech()], Options(language="en"))) == [("it", "it")]


async def test_languages_change_in_a_file_too() -> None:
    pieces: list[Piece] = [LanguageSelection(language="fr"), CLIP.read_bytes()]
    events = await heard(pieces, Options(language="en"), AudioFormat(Encoding.CONTAINER))
    assert finals(events) == [("fr", "fr")]


async def test_a_change_that_cannot_be_ends_the_stream_with_its_reason() -> None:
    pieces: list[Piece] = [speech(), LanguageSelection(candidates=("en", "xx")), speech()]
    with pytest.raises(TranscriptionError) as refused:
        await heard(pieces, Options(language="en"))
    assert refused.value.code == "INVALID_ARGUMENT"
    assert refused.value.message.startswith("language.candidates is 'xx', which is not served")


def config(**language: Any) -> Request:
    """The first message."""
    audio = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=16_000)
    selection = pb.LanguageSelection(**language)
    return Request(config=pb.StreamConfig(audio=audio, language=selection))


def change(**language: Any) -> Request:
    """Other languages."""
    return Request(language=pb.LanguageSelection(**language))


END = Request(end_of_audio=pb.EndOfAudio())
TOO_LIKELY = [pb.LanguageHint(language="fr", weight=1e6)]
LIKELY = [pb.LanguageHint(language="fr", weight=2)]
REFUSED: dict[str, tuple[Callable[[], list[Request]], str]] = {
    "a change as the first message": (
        lambda: [change(fixed="en")],
        "the first message must be `config`; it is `language`",
    ),
    "hints at the start": (
        lambda: [config(hints=TOO_LIKELY)],
        "config.language.hints gives 'fr' a weight of 1e+06",
    ),
    "a hint beside a fixed language at the start": (
        lambda: [config(fixed="fr", hints=LIKELY)],
        "config.language.hints contradicts config.language.fixed",
    ),
    "a change to an unknown language": (
        lambda: [config(), change(fixed="xx")],
        "language.fixed is 'xx', which is not served",
    ),
    "a change to no candidates": (
        lambda: [config(), change(candidates=pb.LanguageCandidates())],
        "language.candidates has 0 tags",
    ),
    "a change to hints out of bounds": (
        lambda: [config(), Request(audio=bytes(2)), change(hints=TOO_LIKELY)],
        "language.hints gives 'fr' a weight of 1e+06: give 0.001 to 1000",
    ),
    "a change that contradicts itself": (
        lambda: [config(), change(fixed="fr", hints=LIKELY)],
        "language.hints contradicts language.fixed",
    ),
    "a second configuration": (
        lambda: [config(), change(), config()],
        "after `config` only `audio` and `language` may come, then `end_of_audio`; "
        "this is `config`",
    ),
    "a change after the end": (
        lambda: [config(fixed="en"), Request(audio=speech()), END, change(fixed="fr")],
        "`language` after `end_of_audio`",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused(case: str) -> None:
    send, says = REFUSED[case]

    async def messages() -> AsyncIterator[Request]:
        for message in send():
            yield message

    async def emit(event: pb.TranscribeResponse) -> None:
        assert not event.HasField("ended")

    async with services() as serving:
        with pytest.raises(InvalidRequest) as refused:
            await Session(serving, GatewaySettings(), emit).run(messages())
    assert str(refused.value).startswith(says)
