"""Language identification on a real socket: a stream of windows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import grpc
import pytest
from panglot.v1 import lid_pb2
from torch import Tensor

from client.status import ServerStatus
from common.audio import from_wire, to_wire
from lid_service.settings import LidSettings
from speech.whisper.language_id import WhisperLanguageIdentifier
from tests.lid_service.serving import FakeIdentifier, Service, serving
from tests.speech.tiny import noise, tiny_model

ENGLISH = (0.9, 0.0, 0.1, 0.0, 0.0)
GERMAN = (0.1, 0.0, 0.9, 0.0, 0.0)
NOBODY = (0.1, 0.1, 0.1, 0.1, 0.6)
SECOND = 16_000
N_MUCH = 1000  # seconds; 32 MB

Request = lid_pb2.IdentifyStreamRequest
Config = lid_pb2.IdentifyStreamConfig


def audio(seconds: float, seed: int = 0) -> bytes:
    return to_wire(noise(int(seconds * SECOND), seed).numpy())


def messages(pcm: bytes, config: Config | None = None, n_bytes: int = 6401) -> list[Request]:
    """A stream in messages that end within samples."""
    parts = [pcm[start : start + n_bytes] for start in range(0, len(pcm), n_bytes)]
    return [Request(config=config or Config()), *(Request(pcm_s16le=part) for part in parts)]


async def told(
    service: Service, requests: Sequence[Request]
) -> list[lid_pb2.IdentifyStreamResponse]:
    return [response async for response in service.stub.IdentifyStream(iter(requests))]


async def refused(service: Service, requests: Sequence[Request]) -> tuple[grpc.StatusCode, str]:
    """The status that ends a stream."""
    call = service.stub.IdentifyStream(iter(requests))
    status = ServerStatus(cast(Any, call))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    return status.behind(caught.value)


def times(responses: Sequence[lid_pb2.IdentifyStreamResponse]) -> list[tuple[int, int]]:
    return [(each.start_ms, each.end_ms) for each in responses]


async def test_windows_and_what_is_in_them() -> None:
    async with serving(FakeIdentifier(ENGLISH, NOBODY, GERMAN)) as service:
        found = await told(service, messages(audio(2.8)))
    assert times(found) == [(0, 2000), (500, 2500), (1000, 2800)]
    heard = [each.identification for each in found]
    assert [each.language for each in heard] == ["en", "", "de"]
    assert heard[1].undetermined == lid_pb2.UNDETERMINED_REASON_NO_SPEECH
    assert heard[1].background_probability == pytest.approx(0.6)


async def test_each_window_is_as_if_asked_alone() -> None:
    pcm = audio(1.7)
    config = Config(window_ms=800, hop_ms=300, candidates=["zh", "en", "jv"], top_k=2)
    async with serving(WhisperLanguageIdentifier(tiny_model())) as service:
        found = await told(service, messages(pcm, config))
        assert times(found) == [(0, 800), (300, 1100), (600, 1400), (900, 1700)]
        for each in found:
            window = to_wire(from_wire(pcm)[each.start_ms * 16 : each.end_ms * 16])
            alone = await service.stub.Identify(
                lid_pb2.IdentifyRequest(
                    pcm_s16le=window, candidates=config.candidates, top_k=config.top_k
                )
            )
            assert each.identification == alone


@pytest.mark.parametrize(
    ("config", "seconds", "expected"),
    [
        (Config(), 0.1, [(0, 100)]),
        (Config(), 2.0, [(0, 2000)]),
        (Config(window_ms=100, hop_ms=100), 0.25, [(0, 100), (100, 200)]),
        (Config(window_ms=300), 0.65, [(0, 300), (300, 600)]),  # the step is no longer than it
        (Config(window_ms=30_000), 31.0, [(0, 30_000), (500, 30_500), (1000, 31_000)]),
    ],
)
async def test_lengths(config: Config, seconds: float, expected: list[tuple[int, int]]) -> None:
    async with serving(FakeIdentifier(ENGLISH)) as service:
        found = await told(service, messages(audio(seconds), config, n_bytes=1 << 19))
    assert times(found) == expected


async def test_a_full_window_is_told_while_the_stream_is_open() -> None:
    async with serving(FakeIdentifier(ENGLISH)) as service:
        call = service.stub.IdentifyStream()
        await call.write(Request(config=Config()))
        await call.write(Request(pcm_s16le=audio(2.2)))
        first = await asyncio.wait_for(call.read(), 10)
        assert isinstance(first, lid_pb2.IdentifyStreamResponse)
        assert first.end_ms == 2000
        assert service.count("panglot_lid_streams") == 1
        call.cancel()


async def test_streams_share_batches() -> None:
    class Counting(FakeIdentifier):
        sizes: list[int] = []  # noqa: RUF012
        both = threading.Event()

        def posteriors(self, windows: Sequence[Tensor]) -> Tensor:
            self.sizes.append(len(windows))
            assert self.both.wait(10)
            return super().posteriors(windows)

    model = Counting(ENGLISH)
    async with serving(model) as service:
        streams = [asyncio.create_task(told(service, messages(audio(1.0)))) for _ in range(3)]
        async with asyncio.timeout(10):
            while service.count("panglot_lid_streams") < 3 or not model.sizes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        model.both.set()
        assert [times(found) for found in await asyncio.gather(*streams)] == [[(0, 1000)]] * 3
    assert sum(model.sizes) == 3


async def test_who_sends_faster_than_the_model_is_held_back() -> None:
    class Slow(FakeIdentifier):
        gate = threading.Event()

        def posteriors(self, windows: Sequence[Tensor]) -> Tensor:
            assert self.gate.wait(10)
            return super().posteriors(windows)

    model = Slow(ENGLISH)
    n_sent = 0

    async def much() -> AsyncIterator[Request]:
        nonlocal n_sent
        yield Request(config=Config(window_ms=1000, hop_ms=1000))
        for _ in range(N_MUCH):
            n_sent += 1
            yield Request(pcm_s16le=bytes(2 * SECOND))

    async with serving(model) as service:
        call = service.stub.IdentifyStream(much())
        before = -1
        async with asyncio.timeout(10):
            while n_sent != before or not n_sent:
                before = n_sent
                await asyncio.sleep(0.2)
        assert n_sent < N_MUCH // 2  # gRPC's window is full: the rest is not taken from the sender
        model.gate.set()
        async for response in call:
            if response.end_ms == 3000:
                break
        call.cancel()


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        ([], "the first message of a stream must be `config`"),
        ([Request(pcm_s16le=audio(1))], "the first message of a stream must be `config`"),
        ([Request()], "the first message of a stream must be `config`"),
        ([Request(config=Config())] * 2, "after `config` only `pcm_s16le` may come"),
        ([Request(config=Config()), Request()], "after `config` only `pcm_s16le` may come"),
        ([Request(config=Config())], "the stream holds 0 ms of audio: give 100 or more"),
        (messages(audio(0.099)), "the stream holds 99 ms of audio"),
        (messages(audio(1) + b"\0"), "whole samples"),
        (messages(audio(1), Config(window_ms=99)), "config.window_ms is 99: give 100 to 30000"),
        (messages(audio(1), Config(window_ms=30_001)), "config.window_ms is 30001"),
        (messages(audio(1), Config(hop_ms=99)), "config.hop_ms is 99: give 100 to 2000"),
        (messages(audio(1), Config(window_ms=900, hop_ms=901)), "give 100 to 900"),
        (messages(audio(1), Config(candidates=["en", "xx"])), "candidates: 'xx'"),
        (messages(audio(1), Config(candidates=["en", "en"])), "'en' stands there twice"),
        (messages(audio(1), Config(top_k=0)), "top_k is 0"),
        (messages(audio(1), Config(min_probability=2)), "min_probability is 2"),
    ],
)
async def test_what_is_wrong_is_named(requests: Sequence[Request], says: str) -> None:
    async with serving(FakeIdentifier(ENGLISH)) as service:
        code, details = await refused(service, requests)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert says in details
        # It left nothing behind.
        assert times(await told(service, messages(audio(1)))) == [(0, 1000)]
        assert service.count("panglot_lid_streams") == 0


async def test_who_sends_nothing_is_let_go() -> None:
    async with serving(FakeIdentifier(ENGLISH), LidSettings(idle_s=0.1)) as service:
        call = service.stub.IdentifyStream()
        await call.write(Request(config=Config()))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "nothing was sent for 0.1 s" in (caught.value.details() or "")


async def test_streams_are_bounded() -> None:
    async with serving(FakeIdentifier(ENGLISH), LidSettings(max_streams=1)) as service:
        first = service.stub.IdentifyStream()
        await first.write(Request(config=Config()))
        await first.write(Request(pcm_s16le=audio(2)))
        await first.read()
        code, _ = await refused(service, messages(audio(1)))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        await first.done_writing()
        assert await first.read() == grpc.aio.EOF
        assert times(await told(service, messages(audio(1)))) == [(0, 1000)]
