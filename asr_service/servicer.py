"""Wire to domain and back for the worker. No logic here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, aclosing
from typing import Any

import grpc
from panglot.v1 import asr_pb2, asr_pb2_grpc

from asr_service.engine import Engine
from asr_service.jobs import Audio, WorkerHypothesis
from asr_service.load import Admission
from asr_service.residency import AdapterCache
from asr_service.settings import WorkerSettings
from asr_service.span import Answer, Finalize, Span
from common.audio import from_wire
from common.errors import InvalidRequest, UnknownLanguage
from common.fleet import UNIVERSAL
from common.service import reporting
from speech.features import SAMPLE_RATE_HZ


class AsrServicer(asr_pb2_grpc.AsrServiceServicer):
    """`panglot.v1.AsrService`."""

    def __init__(
        self,
        engine: Engine,
        adapters: AdapterCache,
        spans: Admission,
        settings: WorkerSettings,
        max_span_ms: int,
        languages: Collection[str],
    ) -> None:
        """Serve spans with `engine`, their adapters pinned through `adapters`.

        `languages` are those of the universal path.
        """
        self._languages = languages
        self._engine = engine
        self._adapters = adapters
        self._spans = spans
        self._settings = settings
        self._max_samples = max_span_ms * SAMPLE_RATE_HZ // 1000

    async def Recognize(  # noqa: N802 the name is the protocol's
        self,
        request_iterator: AsyncIterator[asr_pb2.RecognizeRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[asr_pb2.RecognizeResponse]:
        """One span; see the proto."""
        async with reporting(context), AsyncExitStack() as stack:
            config = await _first(request_iterator)
            stack.enter_context(self._spans.admitted())
            resident = None
            if config.adapter == UNIVERSAL:
                # Found out in the model, it would fail all spans of the batch.
                if config.language not in self._languages:
                    raise UnknownLanguage(
                        f"config.language is {config.language!r:.64}, which {UNIVERSAL} cannot hear"
                    )
            else:
                resident = await stack.enter_async_context(self._adapters.hold(config.adapter))
            interval_s = self._settings.partial_interval_s if config.partial_results else None
            span = Span(
                config.span_id,
                config.language,
                resident,
                self._engine,
                partial_interval_s=interval_s,
                max_samples=self._max_samples,
                boosted_phrases=tuple(config.boosted_phrases),
            )
            answers = await stack.enter_async_context(
                aclosing(span.run(_requests(request_iterator)))
            )
            async for answer in answers:
                yield _response(answer)


async def _first(requests: AsyncIterator[asr_pb2.RecognizeRequest]) -> asr_pb2.SpanConfig:
    async for request in requests:
        if request.WhichOneof("request") == "config":
            if not request.config.adapter:
                raise InvalidRequest(f"config.adapter is empty: give <id>@<version> or {UNIVERSAL}")
            return request.config
        break
    raise InvalidRequest("the first message of a span must be `config`")


async def _requests(
    requests: AsyncIterator[asr_pb2.RecognizeRequest],
) -> AsyncIterator[Audio | Finalize]:
    async for request in requests:
        match request.WhichOneof("request"):
            case "pcm_s16le":
                yield from_wire(request.pcm_s16le)
            case "finalize":
                yield Finalize(request.finalize.sequence, request.finalize.sample_count)
            case other:
                raise InvalidRequest(f"{other or 'an empty message'} after `config` of a span")


def _response(answer: Answer) -> asr_pb2.RecognizeResponse:
    hypothesis = _hypothesis(answer.hypothesis)
    if answer.sequence is None:
        return asr_pb2.RecognizeResponse(partial=hypothesis)
    final = asr_pb2.FinalHypothesis(sequence=answer.sequence, hypothesis=hypothesis)
    return asr_pb2.RecognizeResponse(final=final)


def _hypothesis(hypothesis: WorkerHypothesis) -> asr_pb2.Hypothesis:
    return asr_pb2.Hypothesis(
        text=hypothesis.text,
        words=[
            asr_pb2.HypothesisWord(
                text=word.text,
                start_ms=word.start_ms,
                end_ms=word.end_ms,
                confidence=word.confidence,
            )
            for word in hypothesis.words
        ],
        confidence=hypothesis.confidence,
        audio_ms=hypothesis.audio_ms,
        queue_ms=hypothesis.queue_ms,
        compute_ms=hypothesis.compute_ms,
    )
