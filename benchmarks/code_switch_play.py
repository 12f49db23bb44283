"""Streams of the code-switch set through a running stack, and what came back when."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from benchmarks.code_switch_audio import Span, Stream
from benchmarks.language_error import Claim, Stretch
from benchmarks.paced import PIECE_MS, RATE_HZ
from client.aio import AsyncClient
from client.errors import TranscriptionError
from client.latency import SendLog
from client.pacing import Pacer
from client.types import Event, Final, LanguageChange, Options, Partial, Segment

PATIENCE_S = 30.0
TRIES, AGAIN_S = 10, 2.0
PIECE_BYTES = 2 * RATE_HZ * PIECE_MS // 1000

_T = TypeVar("_T")


@dataclass(frozen=True)
class Played:
    """What came back for a stream that was sent in real time.

    Attributes:
        heard: the languages of the finals that hold text.
        claims: the languages of all events, in the order they arrived.
        latency_ms: for each true span, from sending its last speech to its last final; infinite if
            none came. Of use where a pause that ends a segment follows each span.
        broken: why it broke off; empty if it did not.
    """

    stream: Stream
    heard: tuple[Stretch, ...] = ()
    claims: tuple[Claim, ...] = ()
    text: str = ""
    latency_ms: tuple[float, ...] = ()
    broken: str = ""


class _Microphone:
    """Gives a stream piece by piece, as slowly as it is spoken."""

    def __init__(self, pcm: bytes) -> None:
        self._pcm = pcm
        self._started_s = math.inf
        self.log = SendLog()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Of 40 ms, noting when each left."""
        pacer = Pacer()
        self._started_s = time.monotonic()
        for start in range(0, len(self._pcm), PIECE_BYTES):
            piece = self._pcm[start : start + PIECE_BYTES]
            until_ms = (start + len(piece)) * 500 / RATE_HZ
            await asyncio.sleep(pacer.delay_s(until_ms))
            self.log.sent(until_ms, time.monotonic())
            yield piece

    def spoken_ms(self, at_s: float) -> float:
        """Audio spoken by then; it goes on when all is sent, so that what comes late is late."""
        return 1000 * (at_s - self._started_s)


async def play(client: AsyncClient, stream: Stream, options: Options) -> Played:
    """Send a stream in real time; one that breaks off is heard as nothing at all."""
    try:
        return await _patiently(partial(_play, client, stream, options))
    except (TranscriptionError, TimeoutError) as error:
        return Played(stream, broken=str(error) or f"no end {PATIENCE_S:g} s after the audio")


async def _play(client: AsyncClient, stream: Stream, options: Options) -> Played:
    microphone = _Microphone(stream.pcm)
    claims: list[Claim] = []
    finals: list[tuple[Segment, float]] = []
    async with asyncio.timeout(stream.duration_ms / 1000 + PATIENCE_S):
        async for event in client.transcribe(microphone.pieces(), options=options):
            now_s = time.monotonic()
            claims += claimed(event, microphone.spoken_ms(now_s))
            if isinstance(event, Final) and event.segment.text:
                finals.append((event.segment, now_s))
    return Played(
        stream=stream,
        heard=tuple(each for segment, _ in finals for each in stretches(segment)),
        claims=tuple(claims),
        text=" ".join(segment.text for segment, _ in finals),
        latency_ms=tuple(_latency_ms(stream, finals, microphone.log)),
    )


async def _patiently(job: Callable[[], Awaitable[_T]]) -> _T:
    """Begin again, in a moment, when the server is full: what is heard is judged, not capacity."""
    for _ in range(TRIES - 1):
        try:
            return await job()
        except TranscriptionError as error:
            if error.code != "RESOURCE_EXHAUSTED":
                raise
            await asyncio.sleep(AGAIN_S)
    return await job()


def stretches(segment: Segment) -> list[Stretch]:
    """A segment by language; as a whole where the server does not divide it."""
    return [
        Stretch(each.language, each.start_ms, each.end_ms) for each in segment.spans or (segment,)
    ]


def claimed(event: Event, spoken_ms: float) -> list[Claim]:
    """What an event says of languages; a change is claimed for all that was spoken since."""
    match event:
        case Partial(segment) | Final(segment) if segment.text:
            return [
                Claim(spoken_ms, each.language, each.start_ms, each.end_ms)
                for each in stretches(segment)
            ]
        case LanguageChange(start_ms=start_ms, language=language):
            return [Claim(spoken_ms, language, start_ms, math.ceil(spoken_ms))]
        case _:
            return []


def _latency_ms(
    stream: Stream, finals: Sequence[tuple[Segment, float]], log: SendLog
) -> Iterator[float]:
    """One for each span; a final belongs to the span that its middle is in, or precedes."""
    begins = [*(span.start_ms for span in stream.spans[1:]), stream.duration_ms]
    earlier = 0
    for span, until in zip(stream.spans, begins, strict=True):
        came_s = [
            at_s
            for segment, at_s in finals
            if earlier <= (segment.start_ms + segment.end_ms) / 2 < until
        ]
        earlier = until
        yield 1000 * (max(came_s, default=math.inf) - log.sent_at_s(span.end_ms))


async def told(client: AsyncClient, stream: Stream) -> str:
    """All words when somebody says what is spoken from where to where.

    Each span is a stream of its own, cut at its true boundaries and of the fixed language, sent as
    fast as it is taken. Raises TranscriptionError when one is not served.
    """
    heard = [await _patiently(partial(_told, client, stream, span)) for span in stream.spans]
    return " ".join(heard)


async def _told(client: AsyncClient, stream: Stream, span: Span) -> str:
    pcm = stream.cut(span)
    pieces = [pcm[start : start + PIECE_BYTES] for start in range(0, len(pcm), PIECE_BYTES)]
    options = Options(language=span.language, partial_results=False)
    events = [event async for event in client.transcribe(pieces, options=options)]
    return " ".join(event.segment.text for event in events if isinstance(event, Final))


async def in_order(
    jobs: Sequence[Callable[[], Awaitable[_T]]], at_once: int, description: str
) -> list[_T]:
    """The results of `jobs`, in their order, `at_once` of them running at a time."""
    if not jobs:
        return []
    gate = asyncio.Semaphore(at_once)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task(description, total=len(jobs))

        async def run(job: Callable[[], Awaitable[_T]]) -> _T:
            async with gate:
                result = await job()
            progress.advance(bar)
            return result

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(job)) for job in jobs]
    return [task.result() for task in tasks]
