"""The worker on a real socket, with a model of random numbers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from panglot.v1 import asr_pb2, asr_pb2_grpc

from asr_service.host_memory import HostMemory
from asr_service.jobs import Job
from asr_service.model import CtcRow, WorkerModel
from asr_service.residency import AdapterCache
from asr_service.servicer import AsrServicer
from asr_service.settings import WorkerSettings
from common.adapter_files import AdapterFiles
from common.audio import from_wire, to_wire
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.slots import AdapterSlots, SlotLimits
from speech.adapters.store import AdapterStore
from speech.ctc.paths import greedy, text_of
from speech.features import SAMPLE_RATE_HZ
from speech.precision import place
from speech.whisper.encoder import WhisperSharedEncoder
from speech.whisper.universal import UniversalDecoding
from tests.asr_service.fakes import engine_of, running
from tests.speech.tiny import D_MODEL, noise, publish, random_adapter, tiny_model

SHAPE = AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), 8)
ADAPTERS = {"it": random_adapter(SHAPE, 1), "fr": random_adapter(replace(SHAPE, rank=7), 2)}
WIDE = random_adapter(replace(SHAPE, rank=20), 3)
SETTINGS = WorkerSettings(partial_interval_s=0.1)
PCM = to_wire(noise(16_000, 5).numpy())

Request = asr_pb2.RecognizeRequest


class Worker:
    """A worker and a client of it."""

    def __init__(self, store: Path) -> None:
        base = tiny_model()
        for name, adapter in ADAPTERS.items():
            publish(store, adapter, name, base.fingerprint)
        publish(store, WIDE, "wide", base.fingerprint)
        publish(store, ADAPTERS["it"], "other", "sha256:of another base")
        placement = place("cpu", "float32")
        slots = AdapterSlots(SlotLimits(2, max_rank=8, max_vocab=16), base.encoder, placement)
        self.model = model = WorkerModel(base, slots, placement, beam_size=2)
        adapters = AdapterStore(AdapterFiles(str(store)), base.fingerprint, D_MODEL)
        self.adapters = AdapterCache(adapters, HostMemory(2**20), slots)
        self.engine, self.spans = engine_of(model, max_rows=16, max_spans=3)
        max_span_ms = model.max_samples * 1000 // SAMPLE_RATE_HZ
        self.servicer = AsrServicer(
            self.engine, self.adapters, self.spans, SETTINGS, max_span_ms, model.languages
        )
        self.stub: asr_pb2_grpc.AsrServiceAsyncStub

    async def recognize(self, *requests: Request) -> list[asr_pb2.RecognizeResponse]:
        call = self.stub.Recognize(iter(requests))
        async with asyncio.timeout(20):
            return [response async for response in call]

    async def refused(self, *requests: Request) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.recognize(*requests)
        return caught.value.code(), caught.value.details() or ""

    async def idle(self) -> None:
        """Wait until no span is left."""
        async with asyncio.timeout(10):
            while self.spans.active:  # noqa: ASYNC110 a counter
                await asyncio.sleep(0.01)


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    made = Worker(tmp_path)
    server = grpc.aio.server()
    asr_pb2_grpc.add_AsrServiceServicer_to_server(made.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with running(made.engine), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        made.stub = asr_pb2_grpc.AsrServiceStub(channel)
        yield made
    await server.stop(None)
    await made.adapters.close()


def config(adapter: str = "it@1", language: str = "it", *, partials: bool = False) -> Request:
    return Request(
        config=asr_pb2.SpanConfig(
            span_id="s1", language=language, adapter=adapter, partial_results=partials
        )
    )


def audio(pcm: bytes = PCM) -> Request:
    return Request(pcm_s16le=pcm)


def finalize(sequence: int = 1, n_samples: int = len(PCM) // 2) -> Request:
    return Request(finalize=asr_pb2.Finalize(sequence=sequence, sample_count=n_samples))


def alone(name: str, n_samples: int = len(PCM) // 2) -> str:
    """The text, by the plain modules."""
    encoder = WhisperSharedEncoder(tiny_model().whisper.model.encoder)
    samples = torch.from_numpy(from_wire(PCM)[:n_samples])
    adapter = ADAPTERS[name]
    with torch.inference_mode():
        log_probs = adapter.log_probs(encoder(*encoder.features([samples]), adapter))
    vocabulary = ("", " ", "a", "b", "c", "d", "e", "f")
    return text_of(greedy(log_probs[0].numpy()).symbols, vocabulary)


async def test_a_span_is_heard_by_its_adapter(worker: Worker) -> None:
    (response,) = await worker.recognize(
        config(), audio(PCM[:8000]), audio(PCM[8000:]), finalize(7)
    )
    assert response.WhichOneof("response") == "final"
    assert response.final.sequence == 7
    heard = response.final.hypothesis
    assert heard.text == alone("it") != ""
    assert " ".join(word.text for word in heard.words) == heard.text
    assert heard.audio_ms == 1000
    assert 0 < heard.confidence <= 1
    times = [time for word in heard.words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert times[-1] <= 1000
    await worker.idle()


async def test_languages_side_by_side(worker: Worker) -> None:
    found = await asyncio.gather(
        worker.recognize(config("it@1"), audio(), finalize()),
        worker.recognize(config("fr@1", "fr"), audio(), finalize()),
        worker.recognize(config("universal", "en"), audio(), finalize()),
    )
    italian, french, _ = (responses[0].final.hypothesis.text for responses in found)
    assert (italian, french) == (alone("it"), alone("fr"))
    assert italian != french
    assert set(worker.adapters.residents) == {"it@1", "fr@1"}


async def test_more_adapters_than_slots(worker: Worker) -> None:
    for name in ("it", "fr", "it", "fr"):
        (response,) = await worker.recognize(config(f"{name}@1"), audio(), finalize())
        assert response.final.hypothesis.text == alone(name)
    assert (worker.adapters.hits, worker.adapters.misses) == (2, 2)


async def test_finals_of_a_growing_span(worker: Worker) -> None:
    finals: asyncio.Queue[asr_pb2.FinalHypothesis] = asyncio.Queue()
    got: list[asr_pb2.FinalHypothesis] = []

    async def growing() -> AsyncIterator[Request]:
        """Each final is waited for: a newer finalize would replace it."""
        yield config()
        yield audio()
        for sequence, n_samples in ((1, 8000), (2, 16_000)):
            yield finalize(sequence, n_samples)
            got.append(await finals.get())
        yield audio()
        yield finalize(3, 32_000)

    async with asyncio.timeout(20):
        async for response in worker.stub.Recognize(growing()):
            finals.put_nowait(response.final)
    got.append(finals.get_nowait())
    assert [final.sequence for final in got] == [1, 2, 3]
    assert [final.hypothesis.audio_ms for final in got] == [500, 1000, 2000]
    assert got[0].hypothesis.text == alone("it", 8000)
    assert got[1].hypothesis.text == alone("it")


async def test_partials(worker: Worker) -> None:
    async def slowly() -> AsyncIterator[Request]:
        yield config(partials=True)
        for start in range(0, len(PCM), 6400):
            yield audio(PCM[start : start + 6400])
            await asyncio.sleep(0.05)
        yield finalize()

    responses = [response async for response in worker.stub.Recognize(slowly())]
    kinds = [response.WhichOneof("response") for response in responses]
    assert kinds[-1] == "final"
    assert kinds.count("final") == 1
    covered = [response.partial.audio_ms for response in responses[:-1]]
    assert covered
    assert covered == sorted(set(covered))


async def test_phrases_reach_the_decoder_of_finals(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    boosted: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
    encode = worker.model.encode

    def watched(batch: Sequence[Job]) -> list[CtcRow | UniversalDecoding]:
        for job in batch:
            boosted[job.final].add(job.boosted_phrases)
        return encode(batch)

    monkeypatch.setattr(worker.model, "encode", watched)
    first = config(partials=True)
    first.config.boosted_phrases.extend(["Ahmed Hassan", "sertraline"])
    await worker.recognize(first, audio(), finalize())
    assert boosted[True] == {("Ahmed Hassan", "sertraline")}
    assert boosted[False] <= {()}


async def test_closing_without_a_finalize(worker: Worker) -> None:
    assert await worker.recognize(config(), audio()) == []
    await worker.idle()


@pytest.mark.parametrize(
    ("requests", "status", "says"),
    [
        ([], "INVALID_ARGUMENT", "first message of a span must be `config`"),
        ([Request()], "INVALID_ARGUMENT", "first message of a span must be `config`"),
        ([audio()], "INVALID_ARGUMENT", "first message of a span must be `config`"),
        ([finalize()], "INVALID_ARGUMENT", "first message of a span must be `config`"),
        ([config("")], "INVALID_ARGUMENT", "config.adapter is empty"),
        ([config(), config()], "INVALID_ARGUMENT", "config after `config`"),
        ([config(), Request()], "INVALID_ARGUMENT", "an empty message after `config`"),
        ([config(), audio(b"abc")], "INVALID_ARGUMENT", "pcm_s16le holds 3 bytes"),
        ([config(), audio(), finalize(1, 16_001)], "INVALID_ARGUMENT", "holds 16000 samples"),
        ([config(), audio(), finalize(1, -5)], "INVALID_ARGUMENT", "sample_count is -5"),
        ([config("universal", "xx")], "INVALID_ARGUMENT", "config.language is 'xx'"),
        ([config("universal", "transcribe")], "INVALID_ARGUMENT", "config.language"),
        ([config("de@1")], "NOT_FOUND", "no adapter de@1"),
        ([config("it@2")], "NOT_FOUND", "it@2 was asked for, the store holds it@1"),
        ([config("../it@1")], "NOT_FOUND", "no adapter ../it@1"),
        ([config("other@1")], "FAILED_PRECONDITION", "was trained on base"),
        ([config("wide@1")], "FAILED_PRECONDITION", "rank 20"),
        ([config(), *[audio(bytes(640_000))] * 2], "RESOURCE_EXHAUSTED", "longer than 30000 ms"),
    ],
)
async def test_what_is_wrong_has_its_status(
    worker: Worker, requests: Sequence[Request], status: str, says: str
) -> None:
    code, details = await worker.refused(*requests)
    assert code.name == status
    assert says in details
    await worker.idle()
    (response,) = await worker.recognize(config(), audio(), finalize())
    assert response.final.hypothesis.text == alone("it")


async def test_too_many_spans_and_draining(worker: Worker) -> None:
    calls = [worker.stub.Recognize() for _ in range(3)]
    for call in calls:
        await call.write(config())
    async with asyncio.timeout(5):
        while worker.spans.active < 3:  # noqa: ASYNC110 a counter
            await asyncio.sleep(0.01)
    code, details = await worker.refused(config())
    assert (code.name, "3 spans already" in details) == ("RESOURCE_EXHAUSTED", True)
    for call in calls:
        call.cancel()
    await worker.idle()
    worker.spans.draining = True
    code, details = await worker.refused(config())
    assert (code.name, "draining" in details) == ("RESOURCE_EXHAUSTED", True)


async def test_a_cancelled_call_frees_its_slot(worker: Worker) -> None:
    calls = [worker.stub.Recognize() for _ in range(2)]
    for call, name in zip(calls, ("it@1", "fr@1"), strict=True):
        await call.write(config(name, partials=True))
        await call.write(audio())
    async with asyncio.timeout(5):
        while len(worker.adapters.residents) < 2:  # noqa: ASYNC110 a counter
            await asyncio.sleep(0.01)
    assert worker.spans.active == 2
    for call in calls:
        call.cancel()
    await worker.idle()
    code, _ = await worker.refused(config("wide@1"))  # needs a slot before it is refused
    assert code.name == "FAILED_PRECONDITION"


async def test_a_shutdown_is_told(worker: Worker) -> None:
    worker.engine._closed = True
    code, details = await worker.refused(config(), audio(), finalize())
    assert (code.name, details) == ("RESOURCE_EXHAUSTED", "the worker is shutting down")


async def test_what_nobody_foresaw_shows_no_traceback(worker: Worker) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/secret/path")

    worker.engine.recognize = broken  # type: ignore[method-assign, assignment]
    code, details = await worker.refused(config(), audio(), finalize())
    assert code.name == "UNKNOWN"
    assert details.startswith("unexpected failure; quote reference")
    assert "secret" not in details


def test_noise_survives_the_wire() -> None:
    assert np.abs(from_wire(PCM)).max() > 0.1
