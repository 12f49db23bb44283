"""Step 6: one span to a worker and its hypotheses back; when the worker dies, to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import structlog
from panglot.v1 import asr_pb2, asr_pb2_grpc

from common.audio import SAMPLE_RATE_HZ, to_wire
from common.catalogue import ServedLanguage
from common.errors import (
    AdapterNotFound,
    AdapterRefused,
    NoBase,
    NoWorker,
    Overloaded,
    PanglotError,
)
from common.status import ServerStatus
from gateway.segment_audio import SpanAudio
from gateway.workers import WorkerPool

# Half a second of audio a message, when there is a backlog to replay.
_MESSAGE_SAMPLES = SAMPLE_RATE_HZ // 2
# A span is not given up while the fleet may still recover: a worker needs some 10 s to start again.
_RETRY_S = 30.0
# Speech that takes a worker down is not tried on all of the fleet.
_MAX_LOST = 3
_FINAL_ERRORS: dict[grpc.StatusCode, type[PanglotError]] = {
    grpc.StatusCode.NOT_FOUND: AdapterNotFound,
    grpc.StatusCode.FAILED_PRECONDITION: AdapterRefused,
    grpc.StatusCode.INVALID_ARGUMENT: AdapterRefused,
}
# What no other worker and no later attempt would change.
_UNSERVABLE = (AdapterNotFound, AdapterRefused, NoBase)
_log = structlog.get_logger()

if TYPE_CHECKING:
    Call = grpc.aio.StreamStreamCall[asr_pb2.RecognizeRequest, asr_pb2.RecognizeResponse]


@dataclass(frozen=True)
class Cut:
    """A place where the span may end: decode its first `n_samples` for good."""

    sequence: int
    n_samples: int


class Span:
    """One span of a segment in one language."""

    def __init__(
        self,
        span_id: str,
        audio: SpanAudio,
        language: ServedLanguage,
        *,
        partials: bool,
        boosted_phrases: Sequence[str],
    ) -> None:
        """Recognise `audio`, as it grows, in `language`."""
        self._config = asr_pb2.SpanConfig(
            span_id=span_id,
            language=language.spoken_as,
            adapter=language.adapter,
            partial_results=partials,
            boosted_phrases=boosted_phrases,
        )
        self._language = language
        self._audio = audio
        self._cut: Cut | None = None

    @property
    def language(self) -> ServedLanguage:
        """What is hearing it now."""
        return self._language

    def finalize(self, cut: Cut) -> None:
        """Ask for the final of `cut`; one asked for before and not sent yet is forgotten."""
        self._cut = cut
        self._audio.wake()

    async def responses(
        self, workers: WorkerPool
    ) -> AsyncGenerator[asr_pb2.RecognizeResponse, None]:
        """Partials and finals, without end: the reader leaves when it has the final it wants.

        A worker that fails is followed by another at once. After that each attempt waits longer
        than the one before: a fleet with too much to do is not kept busy refusing.

        A canary has one attempt. Whatever that fails of, the stable version hears the span. A
        stand-in that cannot be served is followed by the next one.

        Raises:
            NoWorker, Overloaded: no worker took the span for 30 s, or three died of it.
            AdapterNotFound, AdapterRefused: the worker cannot serve the adapter, and nothing else
                serves the language.
        """
        loop = asyncio.get_running_loop()
        failed: set[str] = set()
        failure: NoWorker | Overloaded
        n_lost = 0
        failing_since, pauses = None, workers.pauses()
        while True:
            worker = None
            answered = False
            try:
                worker = workers.choose(self._language, failed)
                async with aclosing(self._attempt(workers.stub(worker))) as responses:
                    async for response in responses:
                        answered = True
                        yield response
                raise NoWorker("the worker closed the stream")
            except PanglotError as error:
                then = self._language.fallback
                at_once = self._language.on_trial or isinstance(error, _UNSERVABLE)
                if then is not None and at_once:
                    self._fall_back(then, error)
                    continue
                if not isinstance(error, NoWorker | Overloaded):
                    raise
                if worker is not None:
                    _log.warning("span failed", worker=worker.worker_id, reason=str(error))
                    failure = error
                    failed.add(worker.worker_id)
                else:
                    failure = failure if failed else error  # what they said tells more
                    failed.clear()  # perhaps one of them has come back
            if answered:
                n_lost += 1
                if n_lost == _MAX_LOST:
                    raise NoWorker(f"{n_lost} workers were lost while recognising this speech")
            if answered or failing_since is None:
                failing_since, pauses = loop.time(), workers.pauses()
            if loop.time() - failing_since > _RETRY_S:
                raise type(failure)(f"no worker took this speech for {_RETRY_S:g} s: {failure}")
            await asyncio.sleep(next(pauses))

    def _fall_back(self, then: ServedLanguage, error: PanglotError) -> None:
        _log.warning(
            "canary failed" if self._language.on_trial else "stand-in failed",
            span=self._config.span_id,
            language=self._language.tag,
            adapter=self._language.adapter,
            fallback=then.adapter,
            reason=str(error),
        )
        self._language = then
        self._config.language = then.spoken_as
        self._config.adapter = then.adapter

    async def _attempt(
        self, stub: asr_pb2_grpc.AsrServiceAsyncStub
    ) -> AsyncGenerator[asr_pb2.RecognizeResponse, None]:
        call = stub.Recognize()
        status = ServerStatus(call)
        # Not an iterator given to the call: of one that ended by itself, gRPC forgets the sender.
        sender = asyncio.create_task(self._send(call))
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            code, details = status.behind(error)
            if code in _FINAL_ERRORS:
                raise _FINAL_ERRORS[code](details) from error
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise Overloaded(details) from error
            raise NoWorker(f"a worker was lost ({code.name})") from error
        finally:
            sender.cancel()
            call.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, call: Call) -> None:
        # A write that fails says less than the status, which the reading side gets.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            async for request in self._requests():
                await call.write(request)

    async def _requests(self) -> AsyncGenerator[asr_pb2.RecognizeRequest, None]:
        yield asr_pb2.RecognizeRequest(config=self._config)
        sent = 0
        finalized = 0
        while True:
            cut = self._cut
            if cut and cut.sequence != finalized and sent >= cut.n_samples:
                finalized = cut.sequence
                finalize = asr_pb2.Finalize(sequence=cut.sequence, sample_count=cut.n_samples)
                yield asr_pb2.RecognizeRequest(finalize=finalize)
            elif sent < self._audio.n_samples:
                samples = self._audio.read(sent, sent + _MESSAGE_SAMPLES)
                sent += len(samples)
                yield asr_pb2.RecognizeRequest(pcm_s16le=to_wire(samples))
            else:
                await self._audio.changed()
