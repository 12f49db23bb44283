"""Step 4 in a segment: what the client is told as the language becomes clear."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import grpc
import numpy as np
import pytest
from panglot.v1 import asr_pb2, asr_pb2_grpc

from common.audio import SAMPLE_RATE_HZ, Samples
from common.catalogue import Catalogue, ServedLanguage
from common.errors import NoWorker
from common.fleet import UNIVERSAL, FleetSnapshot, WorkerRecord
from common.registry import FleetWatcher
from gateway.catalogue import CatalogueWatcher
from gateway.language import LanguageClient
from gateway.segment import Event, Options, Segment, Services
from gateway.tracker import LanguageTracker, TrackerSettings
from gateway.workers import WorkerPool

TAGS = ("en", "fr", "it")
SECOND = SAMPLE_RATE_HZ
WorkerContext = grpc.aio.ServicerContext[Any, Any]


class FakeWorker(asr_pb2_grpc.AsrServiceServicer):
    """Hears its language in all audio, or nothing."""

    def __init__(self, *, deaf: bool) -> None:
        self._deaf = deaf

    async def Recognize(  # noqa: N802
        self, requests: AsyncIterator[asr_pb2.RecognizeRequest], context: WorkerContext
    ) -> AsyncIterator[asr_pb2.RecognizeResponse]:
        heard = asr_pb2.Hypothesis()
        async for request in requests:
            match request.WhichOneof("request"):
                case "config" if not self._deaf:
                    text = request.config.language
                    heard = asr_pb2.Hypothesis(
                        text=text, words=[asr_pb2.HypothesisWord(text=text, end_ms=10)]
                    )
                case "pcm_s16le":
                    yield asr_pb2.RecognizeResponse(partial=heard)
                case "finalize":
                    sequence = request.finalize.sequence
                    final = asr_pb2.FinalHypothesis(sequence=sequence, hypothesis=heard)
                    yield asr_pb2.RecognizeResponse(final=final)


class FakeFleet:
    """One worker."""

    def __init__(self, address: str) -> None:
        worker = WorkerRecord("worker", address, (), 1, 0, 9, False, 0, 0, 0)
        self.snapshot = FleetSnapshot((worker,), available=True)


class FakeLid:
    """Says what it was told to, window by window; None is no answer."""

    def __init__(self, *answers: str | None) -> None:
        self._answers = list(answers)
        self.judged_s: list[float] = []

    async def identify(
        self, window: Samples, candidates: Sequence[str] | None, *, urgent: bool
    ) -> Mapping[str, float] | None:
        self.judged_s.append(len(window) / SECOND)
        answer = self._answers.pop(0) if self._answers else None
        if answer is None:
            return None
        return {tag: 0.98 if tag == answer else 0.01 for tag in TAGS}


def services_of(catalogue: Catalogue, workers: WorkerPool, lid: FakeLid) -> Services:
    """Of a store in which nothing changes."""
    watcher = cast(CatalogueWatcher, SimpleNamespace(latest=catalogue))
    return Services(watcher, workers, cast(LanguageClient, lid))


class Stream:
    """Segments of one stream, each spoken second by second."""

    def __init__(
        self, worker_address: str, lid: FakeLid, candidates: tuple[str, ...] | None
    ) -> None:
        fleet = cast(FleetWatcher, FakeFleet(worker_address))
        self.workers = WorkerPool(fleet, random.Random(0))
        languages = {tag: ServedLanguage(tag, tag, UNIVERSAL, None, None) for tag in TAGS}
        self._catalogue = Catalogue(languages)
        self._services = services_of(self._catalogue, self.workers, lid)
        self._options = Options(fixed=None, candidates=candidates, partials=True)
        self._tracker = LanguageTracker(candidates, TrackerSettings())
        self._number = 0
        self.lid = lid

    async def segment(self, n_seconds: int) -> list[Event]:
        """All events of the next segment."""
        name, start = f"test/{self._number}", self._number * 100 * SECOND
        segment = Segment(
            *(name, self._number, start, self._services, self._catalogue),
            *(self._options, self._tracker, None),
        )
        self._number += 1
        running = asyncio.create_task(segment.run())
        for _ in range(n_seconds):
            segment.audio.append(np.zeros(SECOND, np.float32))
            await asyncio.sleep(0.1)
        segment.end(start + n_seconds * SECOND)
        await running
        return [event async for event in segment.events()]


@asynccontextmanager
async def stream(
    *lid: str | None, candidates: tuple[str, ...] | None = TAGS, deaf: bool = False
) -> AsyncIterator[Stream]:
    """A stream with a worker of its own, and answers of language identification to come."""
    server = grpc.aio.server()
    asr_pb2_grpc.add_AsrServiceServicer_to_server(FakeWorker(deaf=deaf), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    begun = Stream(f"127.0.0.1:{port}", FakeLid(*lid), candidates)
    try:
        yield begun
    finally:
        await begun.workers.close()
        await server.stop(None)


def story(events: list[Event]) -> list[str]:
    """What the client reads, repetitions left out: `partial en`, `change en it`, `final it`."""
    told = []
    for event in events:
        match event.WhichOneof("event"):
            case "partial":
                told.append(f"partial {event.partial.text}")
            case "language_change":
                change = event.language_change
                told.append(f"change {change.previous_language} {change.language}")
            case "final":
                told.append(f"final {event.final.text}")
    return [one for at, one in enumerate(told) if at == 0 or told[at - 1] != one]


async def test_the_first_segment_waits_for_its_language() -> None:
    async with stream("fr", "fr") as speaking:
        assert story(await speaking.segment(2)) == ["partial fr", "final fr"]


async def test_the_language_expected_is_corrected_once_it_is_certain() -> None:
    async with stream("en", "en", "fr", "fr") as speaking:
        await speaking.segment(2)
        assert story(await speaking.segment(2)) == [
            "partial en",
            "change en fr",
            "partial fr",
            "final fr",
        ]


async def test_a_second_change_is_told_by_the_final_alone() -> None:
    async with stream("en", "en", "fr", "it") as speaking:
        await speaking.segment(2)
        assert story(await speaking.segment(4)) == [
            "partial en",
            "change en fr",
            "partial fr",
            "final it",
        ]


async def test_a_language_that_is_settled_is_not_judged_again() -> None:
    async with stream("en", "en", "en", "en", "en") as speaking:
        await speaking.segment(4)
        assert speaking.lid.judged_s == [1, 2, 3.5]
        await speaking.segment(4)
        await speaking.segment(4)
        assert speaking.lid.judged_s[3:] == [2, 2]


async def test_noise_has_no_events() -> None:
    async with stream("en", "en", deaf=True) as speaking:
        assert await speaking.segment(2) == []


async def test_a_change_is_followed_by_a_final_even_without_words() -> None:
    async with stream("en", "en", "fr", "fr", deaf=True) as speaking:
        await speaking.segment(2)
        assert story(await speaking.segment(2)) == ["change en fr", "final "]


async def test_without_identification_the_first_candidate_is_taken() -> None:
    async with stream(None, None) as speaking:
        assert story(await speaking.segment(2)) == ["partial en", "final en"]


async def test_without_identification_the_language_stays() -> None:
    async with stream("it", "it", None, None) as speaking:
        await speaking.segment(2)
        events = await speaking.segment(2)
        assert story(events) == ["partial it", "final it"]


async def test_identification_that_comes_back_in_time_is_used() -> None:
    async with stream(None, "it", candidates=None) as speaking:
        assert story(await speaking.segment(2)) == ["partial it", "final it"]


async def test_without_identification_and_candidates_there_is_no_language() -> None:
    async with stream(candidates=None) as speaking:
        with pytest.raises(NoWorker, match=r"config\.language\.fixed"):
            await speaking.segment(2)


class DyingWorker(asr_pb2_grpc.AsrServiceServicer):
    """Answers once and is gone."""

    def __init__(self) -> None:
        self.n_calls = 0

    async def Recognize(  # noqa: N802
        self, requests: AsyncIterator[asr_pb2.RecognizeRequest], context: WorkerContext
    ) -> AsyncIterator[asr_pb2.RecognizeResponse]:
        self.n_calls += 1
        async for request in requests:
            if request.HasField("pcm_s16le"):
                yield asr_pb2.RecognizeResponse(partial=asr_pb2.Hypothesis())
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")


async def test_speech_that_takes_workers_down_is_not_tried_for_ever() -> None:
    server = grpc.aio.server()
    worker = DyingWorker()
    asr_pb2_grpc.add_AsrServiceServicer_to_server(worker, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    speaking = Stream(f"127.0.0.1:{port}", FakeLid("en", "en"), TAGS)
    try:
        with pytest.raises(NoWorker, match="3 workers were lost"):
            await speaking.segment(1)
    finally:
        await speaking.workers.close()
        await server.stop(None)
    assert worker.n_calls == 3
