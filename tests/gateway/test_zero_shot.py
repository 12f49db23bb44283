"""Whole streams in languages that only a relative serves: one gateway, real sockets, the client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import grpc
import pytest
from panglot.v1 import transcription_pb2_grpc

from client import (
    AsyncClient,
    Event,
    Final,
    Language,
    LanguageSelection,
    Options,
    Started,
    TranscriptionError,
    ZeroShot,
)
from common.catalogue import Catalogue, ServedLanguage
from common.registry import FleetWatcher
from gateway.language import Identified
from gateway.servicer import TranscriptionServicer
from gateway.settings import GatewaySettings
from tests.common.fake_relatives import stand_ins
from tests.gateway.serving import FakeLid, FakeWorker, services_of, stream
from tests.gateway.test_session import speech

PAUSE = bytes(32_000)
NEAR = {"lij": {"it": 0.75, "fr": 0.5}, "nap": {"it": 0.875}, "gn": {"it": 0.125}}
SERVED = {tag: ServedLanguage(tag, tag, f"{tag}@1", "sha256:", None) for tag in ("en", "fr", "it")}
CATALOGUE = Catalogue(SERVED, SERVED.keys() | {"nap"}, stand_ins=stand_ins(NEAR))
LIGURIAN = Language("lij", "Ligurian", "it@1", None, ZeroShot("it", "Italian", 0.75))
NEAPOLITAN = Language("nap", "Neapolitan", "it@1", None, ZeroShot("it", "Italian", 0.875))


@asynccontextmanager
async def client_of(worker: FakeWorker, spoken: str = "en") -> AsyncIterator[AsyncClient]:
    """A gateway with that worker, where language identification always hears `spoken`."""
    lid = FakeLid(judge=lambda _: Identified({spoken: 0.98}, 0.0))
    async with stream(worker=worker) as speaking:
        serving = services_of(CATALOGUE, speaking.workers, lid)
        server = grpc.aio.server()
        transcription_pb2_grpc.add_TranscriptionServiceServicer_to_server(
            TranscriptionServicer(serving, cast(FleetWatcher, None), GatewaySettings()), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with AsyncClient(f"127.0.0.1:{port}") as client:
                yield client
        finally:
            await server.stop(None)


async def heard(
    options: Options, *pieces: bytes | LanguageSelection, worker: FakeWorker, spoken: str = "en"
) -> tuple[Started, list[Final]]:
    """How a stream starts, and its finals; the worker says the language it was told."""
    async with client_of(worker, spoken) as client:
        events: list[Event] = [each async for each in client.transcribe(pieces, None, options)]
    (started,) = (each for each in events if isinstance(each, Started))
    return started, [each for each in events if isinstance(each, Final)]


async def test_a_fixed_language_is_heard_by_its_relative_and_the_answer_says_so() -> None:
    worker = FakeWorker(echo=True)
    started, finals = await heard(Options(language="lij"), speech(), worker=worker)
    assert started.zero_shot == (LIGURIAN,)
    segment = finals[0].segment
    assert (segment.text, segment.language, segment.adapter) == ("it", "lij", "it@1")
    assert {word.language for word in segment.words} == {"lij"}
    assert segment.zero_shot == LIGURIAN.zero_shot
    assert [span.zero_shot for span in segment.spans] == [LIGURIAN.zero_shot]
    assert {(config.language, config.adapter) for config in worker.configs} == {("it", "it@1")}


async def test_where_the_nearest_is_refused_the_next_is_named() -> None:
    worker = FakeWorker(echo=True)
    worker.refused = {"it"}
    _, finals = await heard(Options(language="lij"), speech(), worker=worker)
    segment = finals[0].segment
    assert (segment.text, segment.language, segment.adapter) == ("fr", "lij", "fr@1")
    assert segment.zero_shot == ZeroShot("fr", "French", 0.5)


async def test_a_language_may_become_one_by_its_relative_in_mid_stream() -> None:
    pieces = (speech() + PAUSE, LanguageSelection(language="lij"), speech())
    worker = FakeWorker(echo=True)
    started, finals = await heard(Options(language="en"), *pieces, worker=worker)
    assert started.zero_shot == ()
    assert [final.segment.language for final in finals] == ["en", "lij"]
    assert [final.segment.zero_shot for final in finals] == [None, LIGURIAN.zero_shot]


@pytest.mark.parametrize(
    ("options", "spoken", "language"),
    [
        (Options(candidates=("en", "nap")), "nap", "nap"),
        (Options(candidates=("en", "nap")), "en", "en"),
        (Options(hints={"nap": 2}), "nap", "nap"),
    ],
)
async def test_one_that_is_identified_may_be_among_others(
    options: Options, spoken: str, language: str
) -> None:
    worker = FakeWorker(echo=True)
    started, finals = await heard(options, speech(), worker=worker, spoken=spoken)
    assert started.zero_shot == (NEAPOLITAN,)
    segment = finals[0].segment
    assert segment.language == language
    assert segment.zero_shot == (NEAPOLITAN.zero_shot if language == "nap" else None)


async def test_one_that_nobody_named_is_not_heard() -> None:
    worker = FakeWorker(echo=True)
    started, finals = await heard(Options(), speech(), worker=worker, spoken="nap")
    assert (started.zero_shot, finals, worker.configs) == ((), [], [])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(candidates=("en", "lij")), "config.language.candidates names 'lij', which"),
        (Options(language="gn"), "config.language.fixed is 'gn', which is not served"),
    ],
)
async def test_refused(options: Options, says: str) -> None:
    with pytest.raises(TranscriptionError) as refused:
        await heard(options, speech(), worker=FakeWorker())
    assert refused.value.code == "INVALID_ARGUMENT"
    assert refused.value.message.startswith(says)


async def test_the_list_tells_of_relatives_when_it_is_asked() -> None:
    async with client_of(FakeWorker()) as client:
        assert [each.tag for each in await client.languages()] == ["en", "fr", "it"]
        assert await client.languages(["lij", "en-US"]) == (
            LIGURIAN,
            Language("en", "en", "en@1", None),
        )
        for tags, says in ((["gn"], "tags is 'gn', which is not"), (["en"] * 201, "has 201 tags")):
            with pytest.raises(TranscriptionError, match=says) as refused:
                await client.languages(tags)
            assert refused.value.code == "INVALID_ARGUMENT"
