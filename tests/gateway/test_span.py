"""Step 6 when workers refuse: others are tried, with ever longer pauses; nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import grpc
import numpy as np
import pytest
from panglot.v1 import asr_pb2, asr_pb2_grpc

import gateway.span
from common.audio import to_wire
from common.catalogue import ServedLanguage
from common.errors import AdapterNotFound, AdapterRefused, NoWorker, Overloaded
from common.fleet import UNIVERSAL, FleetSnapshot, WorkerRecord
from common.registry import FleetWatcher
from common.zero_shot import StandIn
from gateway.hearing import Hearings
from gateway.recognition import Recognition
from gateway.segment_audio import SegmentAudio, SpanAudio
from gateway.span import Cut, Span
from gateway.workers import WorkerPool

ITALIAN = ServedLanguage("it", "Italian", "it@1", "sha256:a", None)
CANARY = replace(ITALIAN, adapter="it@2", fallback=ITALIAN, on_trial=True)
LAST = ServedLanguage(
    "nap", "Neapolitan", UNIVERSAL, None, None, None, stand_in=StandIn("es", "Spanish", 0.6)
)
NEXT = replace(
    LAST,
    adapter="ca@1",
    base_fingerprint="sha256:a",
    fallback=LAST,
    stand_in=StandIn("ca", "Catalan", 0.7),
)
NEAPOLITAN = replace(NEXT, adapter="it@1", fallback=NEXT, stand_in=StandIn("it", "Italian", 0.9))
SAMPLES = (np.random.default_rng(0).integers(-999, 999, 20_000) / 32768).astype(np.float32)
PHRASES = ("Ahmed Hassan", "sertraline")


class RefusingWorker(asr_pb2_grpc.AsrServiceServicer):
    """Refuses spans, each after some of its audio, and then takes one."""

    def __init__(self, n_refusals: float, status: grpc.StatusCode) -> None:
        self._n_refusals = n_refusals
        self._status = status
        self.config = asr_pb2.SpanConfig()
        self.n_calls = 0
        self.heard = b""

    async def Recognize(  # noqa: N802
        self,
        requests: AsyncIterator[asr_pb2.RecognizeRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[asr_pb2.RecognizeResponse]:
        self.n_calls += 1
        self.heard = b""
        async for request in requests:
            match request.WhichOneof("request"):
                case "config":
                    self.config = request.config
                case "pcm_s16le":
                    self.heard += request.pcm_s16le
                    if self.n_calls <= self._n_refusals:
                        await context.abort(self._status, "its finals are late")
                case "finalize":
                    final = asr_pb2.FinalHypothesis(sequence=request.finalize.sequence)
                    yield asr_pb2.RecognizeResponse(final=final)


class FakeFleet:
    """The workers at these addresses."""

    def __init__(self, *addresses: str) -> None:
        workers = tuple(
            WorkerRecord(
                *(f"worker-{number}", address, (), 4, 0, 99, False, 0, 0, 0),
                base_fingerprint="sha256:a",
            )
            for number, address in enumerate(addresses)
        )
        self.snapshot = FleetSnapshot(workers, available=True)


@asynccontextmanager
async def fleet_of(*workers: RefusingWorker) -> AsyncIterator[WorkerPool]:
    """The workers, each on a port of its own."""
    async with AsyncExitStack() as stack:
        addresses = []
        for worker in workers:
            server = grpc.aio.server()
            asr_pb2_grpc.add_AsrServiceServicer_to_server(worker, server)
            addresses.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
            await server.start()
            stack.push_async_callback(server.stop, None)
        pool = WorkerPool(cast(FleetWatcher, FakeFleet(*addresses)), random.Random(0))
        stack.push_async_callback(pool.close)
        yield pool


async def final_from(
    pool: WorkerPool, language: ServedLanguage = ITALIAN
) -> asr_pb2.RecognizeResponse:
    """What the fleet answers to a whole span."""
    segment = SegmentAudio(0)
    segment.append(np.concatenate([np.ones(100, np.float32), SAMPLES, np.ones(100, np.float32)]))
    audio = SpanAudio(segment, 100)
    audio.cut(100 + len(SAMPLES))
    span = Span("s/0/1", audio, language, partials=False, boosted_phrases=PHRASES)
    span.finalize(Cut(1, len(SAMPLES)))
    async with aclosing(span.responses(pool)) as responses:
        return await anext(responses)


FULL, LOST = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE
FINAL = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)


@pytest.mark.parametrize("status", [FULL, LOST])
async def test_a_span_that_was_refused_is_replayed_whole(status: grpc.StatusCode) -> None:
    workers = [RefusingWorker(2, status), RefusingWorker(2, status)]
    async with fleet_of(*workers) as pool:
        response = await final_from(pool)
    assert response.final.sequence == 1
    assert sorted(worker.n_calls for worker in workers) == [2, 3]
    taker = max(workers, key=lambda worker: worker.n_calls)
    assert taker.heard == to_wire(SAMPLES)
    assert (taker.config.language, taker.config.adapter) == ("it", "it@1")
    assert tuple(taker.config.boosted_phrases) == PHRASES


@pytest.mark.parametrize(("status", "error"), [(FULL, Overloaded), (LOST, NoWorker)])
async def test_a_span_that_nobody_takes_is_given_up(
    status: grpc.StatusCode, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.span, "_RETRY_S", 0.2)
    workers = [RefusingWorker(9999, status), RefusingWorker(9999, status)]
    async with fleet_of(*workers) as pool:
        with pytest.raises(error, match=r"no worker took this speech for 0\.2 s: ") as raised:
            await final_from(pool)
    said = "its finals are late" if status is FULL else "a worker was lost (UNAVAILABLE)"
    assert said in str(raised.value)
    assert all(worker.n_calls for worker in workers), "both were tried"


@pytest.mark.parametrize("status", [*FINAL, FULL, LOST])
async def test_a_canary_that_fails_is_followed_by_what_is_stable(status: grpc.StatusCode) -> None:
    worker = RefusingWorker(1, status)
    async with fleet_of(worker) as pool:
        response = await final_from(pool, CANARY)
    assert response.final.sequence == 1
    assert worker.n_calls == 2
    assert worker.config.adapter == "it@1"
    assert worker.heard == to_wire(SAMPLES)


@pytest.mark.parametrize("status", FINAL)
async def test_a_stand_in_that_is_refused_is_followed_by_the_next(status: grpc.StatusCode) -> None:
    worker = RefusingWorker(1, status)
    async with fleet_of(worker) as pool:
        response = await final_from(pool, NEAPOLITAN)
    assert response.final.sequence == 1
    assert worker.n_calls == 2
    assert (worker.config.language, worker.config.adapter) == ("ca", "ca@1")
    assert worker.heard == to_wire(SAMPLES)


async def test_a_stand_in_that_no_worker_can_run_is_followed_by_the_next() -> None:
    elsewhere = "sha256:of another base"
    then = replace(NEXT, base_fingerprint=elsewhere)
    first = replace(NEAPOLITAN, base_fingerprint=elsewhere, fallback=then)
    worker = RefusingWorker(0, FULL)
    async with fleet_of(worker) as pool:
        await final_from(pool, first)
    assert worker.n_calls == 1
    assert (worker.config.language, worker.config.adapter) == ("es", UNIVERSAL)


@pytest.mark.parametrize("status", [FULL, LOST])
async def test_a_stand_in_that_is_busy_is_waited_for(status: grpc.StatusCode) -> None:
    worker = RefusingWorker(2, status)
    async with fleet_of(worker) as pool:
        await final_from(pool, NEAPOLITAN)
    assert worker.n_calls == 3
    assert (worker.config.language, worker.config.adapter) == ("it", "it@1")


async def test_when_all_of_the_chain_is_refused_it_is_an_error() -> None:
    worker = RefusingWorker(9, FINAL[0])
    async with fleet_of(worker) as pool:
        with pytest.raises(AdapterNotFound):
            await final_from(pool, NEAPOLITAN)
    assert worker.n_calls == 3


async def test_a_canary_that_no_worker_can_run_costs_nobody_a_wait() -> None:
    worker = RefusingWorker(0, FULL)
    async with fleet_of(worker) as pool:
        await final_from(pool, replace(CANARY, base_fingerprint="sha256:of another base"))
    assert (worker.n_calls, worker.config.adapter) == (1, "it@1")


@pytest.mark.parametrize("status", FINAL)
async def test_what_is_stable_and_refused_is_an_error(status: grpc.StatusCode) -> None:
    worker = RefusingWorker(9, status)
    async with fleet_of(worker) as pool:
        with pytest.raises((AdapterNotFound, AdapterRefused), match="its finals are late"):
            await final_from(pool, CANARY)
    assert worker.n_calls == 2


def test_the_second_attempt_is_at_once_and_the_others_ever_later() -> None:
    pool = WorkerPool(cast(FleetWatcher, FakeFleet()), random.Random(0))
    first, *pauses = itertools.islice(pool.pauses(), 10)
    assert first == 0
    for pause, longest in zip(pauses, (0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1), strict=True):
        assert longest / 2 <= pause <= longest
    assert pauses[5:] != sorted(pauses[5:])[:1] * 4, "each draws its own"


async def test_the_audio_of_a_span_is_its_part_of_the_segment() -> None:
    segment = SegmentAudio(5000)
    audio = SpanAudio(segment, 10)
    assert (audio.n_samples, len(audio.read(0, 99))) == (0, 0)
    segment.append(np.arange(30, dtype=np.float32))
    assert audio.n_samples == 20
    assert audio.read(2, 5).tolist() == [12, 13, 14]
    audio.cut(25)
    segment.append(np.arange(30, 40, dtype=np.float32))
    assert audio.n_samples == 15
    assert audio.read(13, 99).tolist() == [23, 24]
    assert len(audio.read(15, 99)) == 0
    waiting = asyncio.ensure_future(audio.changed())
    await asyncio.sleep(0)
    audio.cut(None)
    await asyncio.wait_for(waiting, 10)
    assert audio.n_samples == 30
    audio.cut(5)
    assert audio.n_samples == 0


def recognition_of(
    segment: SegmentAudio, language: ServedLanguage, pool: WorkerPool
) -> Recognition:
    """Of all of a segment."""
    span = Span("s", SpanAudio(segment, 0), language, partials=False, boosted_phrases=())
    return Recognition(span, pool, lambda _: None)


async def test_what_another_final_took_the_place_of_is_asked_for_again() -> None:
    segment = SegmentAudio(0)
    segment.append(SAMPLES)
    async with fleet_of(RefusingWorker(0, FULL)) as pool:
        recognition = recognition_of(segment, ITALIAN, pool)
        early, late = recognition.final(30_000), recognition.final(40_000)
        assert early.cancelled(), "the worker will not answer it"
        again = recognition.final(30_000)
        assert late.cancelled()
        assert recognition.final(30_000) is again
        segment.append(np.zeros(20_000, np.float32))
        await asyncio.wait_for(again, 10)
        await asyncio.wait_for(recognition.final(40_000), 10)
        assert recognition.final(30_000) is again, "it is known"
        waiting = recognition.final(99_000)
        await recognition.close()
        assert waiting.cancelled()


async def test_what_the_stable_version_heard_is_told_as_such() -> None:
    segment = SegmentAudio(0)
    segment.append(SAMPLES)
    async with fleet_of(RefusingWorker(1, LOST)) as pool:
        hearings = Hearings(
            segment, lambda _, language, __: recognition_of(segment, language, pool), lambda: None
        )
        hearings.begin(0, CANARY, None)
        (heard,) = await hearings.finals(len(SAMPLES))
        assert heard.source.adapter == "it@1"
        await hearings.close()


async def test_whose_adapter_heard_it_is_told() -> None:
    segment = SegmentAudio(0)
    segment.append(SAMPLES)
    async with fleet_of(RefusingWorker(1, FINAL[0])) as pool:
        hearings = Hearings(
            segment, lambda _, language, __: recognition_of(segment, language, pool), lambda: None
        )
        hearings.begin(0, NEAPOLITAN, None)
        (heard,) = await hearings.finals(len(SAMPLES))
        assert (heard.source.language, heard.source.adapter) == ("nap", "ca@1")
        assert heard.source.stand_in == NEXT.stand_in
        await hearings.close()
