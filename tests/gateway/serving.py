"""Workers and language identification that hear what a test says, around one stream's segments.

Speech is written in levels: a word of a language is 400 ms at that language's level, and silence
of 100 ms follows it. Workers hear the words of their own language as its tag, and those of others
as `?` and the tag.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import grpc
import numpy as np
from panglot.v1 import asr_pb2, asr_pb2_grpc

from common.audio import SAMPLE_RATE_HZ, Samples, from_wire, milliseconds
from common.catalogue import Catalogue, ServedLanguage
from common.fleet import UNIVERSAL, FleetSnapshot, WorkerRecord
from common.registry import FleetWatcher
from gateway.catalogue import CatalogueWatcher
from gateway.language import Identified, LanguageClient
from gateway.options import Options, Services
from gateway.segment import Event, Segment
from gateway.tracker import LanguageTracker, TrackerSettings
from gateway.workers import WorkerPool

TAGS = ("en", "fr", "it")
SECOND = SAMPLE_RATE_HZ
MS = SECOND // 1000
WORD_MS, GAP_MS = 400, 100
# Quick to believe; the defaults are tuned to a model of language identification.
SETTINGS = TrackerSettings(
    stay_odds=3.5,
    switch_odds=0.05,
    floor=0.01,
    trusts=((0, 0.4), (1000, 3.2), (2000, 4.0)),
    certain=0.8,
    rival=0.1,
    shortest_ms=300,
)
WorkerContext = grpc.aio.ServicerContext[Any, Any]


def said(words: str) -> Samples:
    """Speech of as many words, such as `en en fr`; `-` is a word's time of silence."""
    pieces = []
    for word in words.split():
        level = 0.0 if word == "-" else 0.1 * (TAGS.index(word) + 1)
        pieces += [np.full(WORD_MS * MS, level), np.zeros(GAP_MS * MS)]
    return np.concatenate([np.zeros(0), *pieces]).astype(np.float32)


def levels(samples: Samples) -> Counter[str]:
    """Samples of each language."""
    spoken = np.rint(samples * 10).astype(int)
    return Counter({tag: int((spoken == at + 1).sum()) for at, tag in enumerate(TAGS)})


def words_of(samples: Samples, language: str) -> list[asr_pb2.HypothesisWord]:
    """What a worker hears: each word that is there in part."""
    spoken = np.rint(samples * 10).astype(int)
    edges = np.flatnonzero(np.diff(spoken, prepend=0, append=0))
    words = []
    for first, last in itertools.pairwise(edges):
        if not spoken[first]:
            continue
        tag = TAGS[spoken[first] - 1]
        words.append(
            asr_pb2.HypothesisWord(
                text=tag if tag == language else f"?{tag}",
                start_ms=milliseconds(int(first)),
                end_ms=milliseconds(int(last)),
                confidence=0.9 if tag == language else 0.2,
            )
        )
    return words


class FakeWorker(asr_pb2_grpc.AsrServiceServicer):
    """Hears what is said; a deaf one nothing, and an echo the name of its language in any audio.

    Attributes:
        refused: languages that it cannot hear.
        silent: languages of which no final ever comes.
        dies: calls, counted from 0, that break off when they are asked for a final.
        configs: of all calls.
        n_open: calls under way.
        finals: language and samples of each final that was asked for.
    """

    def __init__(self, *, deaf: bool = False, echo: bool = False) -> None:
        self._deaf = deaf
        self._echo = echo
        self.refused: set[str] = set()
        self.silent: set[str] = set()
        self.dies: set[int] = set()
        self.configs: list[asr_pb2.SpanConfig] = []
        self.finals: list[tuple[str, int]] = []
        self.n_open = 0

    async def Recognize(  # noqa: N802
        self, requests: AsyncIterator[asr_pb2.RecognizeRequest], context: WorkerContext
    ) -> AsyncIterator[asr_pb2.RecognizeResponse]:
        self.n_open += 1
        try:
            async for response in self._recognize(requests, context):
                yield response
        finally:
            self.n_open -= 1

    async def _recognize(
        self, requests: AsyncIterator[asr_pb2.RecognizeRequest], context: WorkerContext
    ) -> AsyncIterator[asr_pb2.RecognizeResponse]:
        number, language, audio = len(self.configs), "", np.zeros(0, np.float32)
        async for request in requests:
            match request.WhichOneof("request"):
                case "config":
                    self.configs.append(request.config)
                    language = request.config.language
                    if language in self.refused:
                        await context.abort(grpc.StatusCode.NOT_FOUND, f"no {language} here")
                case "pcm_s16le":
                    audio = np.concatenate([audio, from_wire(request.pcm_s16le)])
                    if self.configs[number].partial_results:
                        yield asr_pb2.RecognizeResponse(partial=self._hypothesis(audio, language))
                case "finalize":
                    asked = request.finalize
                    self.finals.append((language, asked.sample_count))
                    if number in self.dies:
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
                    if not 0 <= asked.sample_count <= len(audio):
                        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not sent")
                    if language in self.silent:
                        continue
                    final = asr_pb2.FinalHypothesis(
                        sequence=asked.sequence,
                        hypothesis=self._hypothesis(audio[: asked.sample_count], language),
                    )
                    yield asr_pb2.RecognizeResponse(final=final)

    def _hypothesis(self, audio: Samples, language: str) -> asr_pb2.Hypothesis:
        if self._echo:
            words = [asr_pb2.HypothesisWord(text=language, end_ms=10, confidence=0.9)]
        else:
            words = [] if self._deaf else words_of(audio, language)
        confidence = sum(word.confidence for word in words) / max(len(words), 1)
        return asr_pb2.Hypothesis(
            text=" ".join(word.text for word in words),
            words=words,
            confidence=confidence,
            audio_ms=milliseconds(len(audio)),
        )


class FakeFleet:
    """One worker."""

    def __init__(self, address: str) -> None:
        worker = WorkerRecord("worker", address, (), 1, 0, 99, False, 0, 0, 0)
        self.snapshot = FleetSnapshot((worker,), available=True)


Judge = Callable[[Samples], Identified | None]


def by_ear(window: Samples) -> Identified | None:
    """The languages by their share of the speech in a window."""
    spoken = levels(window)
    total = sum(spoken.values())
    if not total:
        return Identified(dict.fromkeys(TAGS, 1 / len(TAGS)), 1.0)
    return Identified({tag: 0.97 * spoken[tag] / total + 0.01 for tag in TAGS}, 0.0)


class FakeLid:
    """Says what it was told to, window by window, or what it hears; None is no answer.

    Attributes:
        answers, judge: what it says, unless it judges.
        open: cleared, answers are held back.
        judged_s: lengths of the windows it was asked to judge.
    """

    def __init__(self, *answers: str | None, judge: Judge | None = None) -> None:
        self.answers = list(answers)
        self.judge = judge
        self.open = asyncio.Event()
        self.open.set()
        self.judged_s: list[float] = []

    async def identify(
        self, window: Samples, candidates: Sequence[str] | None, *, urgent: bool
    ) -> Identified | None:
        self.judged_s.append(len(window) / SECOND)
        await self.open.wait()
        if self.judge is not None:
            return self.judge(window)
        answer = self.answers.pop(0) if self.answers else None
        if answer is None:
            return None
        return Identified({tag: 0.98 if tag == answer else 0.01 for tag in TAGS}, 0.0)


def services_of(catalogue: Catalogue, workers: WorkerPool, lid: FakeLid) -> Services:
    """Of a store in which nothing changes."""
    watcher = cast(CatalogueWatcher, SimpleNamespace(latest=catalogue))
    return Services(watcher, workers, cast(LanguageClient, lid))


class Speaking:
    """A segment that is being spoken."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.events: list[Event] = []
        self._changed = asyncio.Event()
        self._running = asyncio.create_task(segment.run())
        self._reading = asyncio.create_task(self._read())

    async def say(self, words: str) -> None:
        """Say so, and let it be judged on the way."""
        samples = said(words)
        for first in range(0, len(samples), SECOND // 4):
            self.segment.audio.append(samples[first : first + SECOND // 4])
            await breath()

    def pause(self, back_ms: int = 0) -> None:
        """It may have ended, so many ms ago."""
        self.segment.pause(self._now - back_ms * MS)

    async def end(self, back_ms: int = 0) -> list[Event]:
        """It has ended; returns all events."""
        self.segment.end(self._now - back_ms * MS)
        return await self.wait()

    async def wait(self) -> list[Event]:
        """For the end of a segment that has ended; returns all events."""
        async with asyncio.timeout(10):
            await self._running
            await self._reading
        return self.events

    async def until(self, line: str) -> None:
        """Wait until the client has read so."""
        async with asyncio.timeout(10):
            while line not in story(self.events):
                self._changed.clear()
                await self._changed.wait()

    async def cancel(self) -> None:
        """The client has left."""
        self._running.cancel()
        self._reading.cancel()
        await asyncio.gather(self._running, self._reading, return_exceptions=True)

    @property
    def _now(self) -> int:
        return self.segment.audio.start + self.segment.audio.n_samples

    async def _read(self) -> None:
        # A segment that fails has no last event.
        self._running.add_done_callback(
            lambda running: running.cancelled() or (running.exception() and self._reading.cancel())
        )
        async for event in self.segment.events():
            self.events.append(event)
            self._changed.set()


class Stream:
    """Segments of one stream."""

    def __init__(
        self,
        worker_address: str,
        lid: FakeLid,
        candidates: tuple[str, ...] | None,
        fixed: str | None = None,
    ) -> None:
        fleet = cast(FleetWatcher, FakeFleet(worker_address))
        self.workers = WorkerPool(fleet, random.Random(0))
        languages = {tag: ServedLanguage(tag, tag, UNIVERSAL, None, None) for tag in TAGS}
        self._catalogue = Catalogue(languages)
        self._services = services_of(self._catalogue, self.workers, lid)
        self._options = Options(
            fixed=languages[fixed] if fixed else None, candidates=candidates, partials=True
        )
        self._tracker = LanguageTracker(SETTINGS)
        self._previous: Segment | None = None
        self._number = 0
        self.lid = lid

    def begin(self) -> Speaking:
        """The next segment."""
        self._previous = Segment(
            name=f"test/{self._number}",
            number=self._number,
            start=self._number * 100 * SECOND,
            services=self._services,
            catalogue=self._catalogue,
            options=self._options,
            tracker=self._tracker,
            previous=self._previous,
        )
        self._number += 1
        return Speaking(self._previous)

    async def segment(self, words: str) -> list[Event]:
        """All events of the next segment."""
        speaking = self.begin()
        await speaking.say(words)
        return await speaking.end()


@asynccontextmanager
async def stream(
    *answers: str | None,
    judge: Judge | None = None,
    candidates: tuple[str, ...] | None = TAGS,
    fixed: str | None = None,
    worker: FakeWorker | None = None,
) -> AsyncIterator[Stream]:
    """A stream with a worker of its own, and answers of language identification to come.

    When it is over, nothing may be left of it.
    """
    worker = worker or FakeWorker()
    before = asyncio.all_tasks()
    server = grpc.aio.server()
    asr_pb2_grpc.add_AsrServiceServicer_to_server(worker, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    begun = Stream(f"127.0.0.1:{port}", FakeLid(*answers, judge=judge), candidates, fixed)
    try:
        yield begun
        await eventually(lambda: not worker.n_open)
    finally:
        await begun.workers.close()
        await server.stop(None)
    left = [task for task in asyncio.all_tasks() - before if "gateway/" in repr(task)]
    assert not left


async def eventually(condition: Callable[[], object]) -> None:
    """Waits for what the other side of a socket does."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 gRPC tells the worker, and not us
            await asyncio.sleep(0.005)


async def breath() -> None:
    """Lets what needs no network come to rest."""
    for _ in range(50):
        await asyncio.sleep(0)


def story(events: Sequence[Event]) -> list[str]:
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


def plot(events: Sequence[Event]) -> list[str]:
    """The story without what was shown on the way."""
    return [line for line in story(events) if not line.startswith("partial")]
