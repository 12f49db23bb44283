"""Wire to domain and back for language identification. No logic here."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
from panglot.v1 import lid_pb2, lid_pb2_grpc

from common.audio import Samples, milliseconds
from common.errors import Overloaded
from common.service import reporting
from lid_service.batcher import Batcher
from lid_service.metrics import LidMetrics
from lid_service.posteriors import Question, Undetermined, answer
from lid_service.request import StreamRequests, question_of, window_of, windows_of
from lid_service.settings import LidSettings

Context = grpc.aio.ServicerContext[Any, Any]

_REASONS = {
    Undetermined.NO_SPEECH: lid_pb2.UNDETERMINED_REASON_NO_SPEECH,
    Undetermined.HESITATION: lid_pb2.UNDETERMINED_REASON_HESITATION,
}


class LidServicer(lid_pb2_grpc.LanguageIdServiceServicer):
    """`panglot.v1.LanguageIdService`."""

    def __init__(
        self,
        batcher: Batcher,
        name: str,
        languages: Sequence[str],
        metrics: LidMetrics,
        settings: LidSettings,
    ) -> None:
        """Identify with `batcher`, which runs the model `name` of `languages`, in their order."""
        self._batcher = batcher
        self._name = name
        self._languages = tuple(languages)
        self._metrics = metrics
        self._settings = settings
        self._n_streams = 0

    async def Identify(  # noqa: N802 the name is the protocol's
        self, request: lid_pb2.IdentifyRequest, context: Context
    ) -> lid_pb2.IdentifyResponse:
        """One window; see the proto."""
        async with reporting(context):
            samples = window_of(request)
            question = question_of(request, self._languages)
            return await self._identify(samples, question, _deadline(context))
        raise AssertionError("reporting() always ends the call")

    async def IdentifyStream(  # noqa: N802
        self,
        request_iterator: AsyncIterator[lid_pb2.IdentifyStreamRequest],
        context: Context,
    ) -> AsyncIterator[lid_pb2.IdentifyStreamResponse]:
        """Windows of one recording; see the proto."""
        async with reporting(context):
            deadline = _deadline(context)
            with self._admitted():
                requests = StreamRequests(request_iterator, self._settings.idle_s)
                config = await requests.config()
                question = question_of(config, self._languages)
                async with aclosing(requests.windows(windows_of(config))) as windows:
                    async for window in windows:
                        yield lid_pb2.IdentifyStreamResponse(
                            start_ms=milliseconds(window.start),
                            end_ms=milliseconds(window.end),
                            identification=await self._identify(window.samples, question, deadline),
                        )

    async def GetModel(  # noqa: N802
        self, request: lid_pb2.GetModelRequest, context: Context
    ) -> lid_pb2.GetModelResponse:
        """What it can tell apart."""
        return lid_pb2.GetModelResponse(name=self._name, languages=self._languages)

    async def _identify(
        self, samples: Samples, question: Question, deadline: float
    ) -> lid_pb2.IdentifyResponse:
        posteriors = await self._batcher.identify(samples, deadline)
        found = answer(self._languages, posteriors, question)
        response = lid_pb2.IdentifyResponse(
            posteriors=[
                lid_pb2.LanguagePosterior(language=language, probability=probability)
                for language, probability in found.ranked
            ],
            background_probability=found.background,
        )
        if isinstance(found.language, Undetermined):
            self._metrics.undetermined.labels(found.language.value).inc()
            response.undetermined = _REASONS[found.language]
        else:
            response.language = found.language
        return response

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._n_streams >= self._settings.max_streams:
            raise Overloaded(f"{self._n_streams} streams are open: try again later")
        self._n_streams += 1
        self._metrics.streams.set(self._n_streams)
        try:
            yield
        finally:
            self._n_streams -= 1
            self._metrics.streams.set(self._n_streams)


def _deadline(context: Context) -> float:
    """The event loop's time at which the caller stops waiting."""
    remaining_s = context.time_remaining()
    return math.inf if remaining_s is None else asyncio.get_running_loop().time() + remaining_s
