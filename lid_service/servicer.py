"""Wire to domain and back for language identification. No logic here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from panglot.v1 import lid_pb2, lid_pb2_grpc

from common.audio import SAMPLE_RATE_HZ, from_wire, milliseconds
from common.errors import InvalidRequest, UnknownLanguage
from common.service import reporting
from lid_service.batcher import Batcher
from lid_service.posteriors import rank

_MIN_MS, _MAX_MS = 100, 30_000
_DEFAULT_TOP_K = 5


class LidServicer(lid_pb2_grpc.LanguageIdServiceServicer):
    """`panglot.v1.LanguageIdService`."""

    def __init__(self, batcher: Batcher, languages: Sequence[str]) -> None:
        """Identify with `batcher`, whose posteriors are in the order of `languages`."""
        self._batcher = batcher
        self._languages = tuple(languages)

    async def Identify(  # noqa: N802 the name is the protocol's
        self, request: lid_pb2.IdentifyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> lid_pb2.IdentifyResponse:
        """One window; see the proto."""
        async with reporting(context):
            samples = from_wire(request.pcm_s16le)
            if not _MIN_MS <= len(samples) * 1000 / SAMPLE_RATE_HZ <= _MAX_MS:
                raise InvalidRequest(
                    f"pcm_s16le holds {milliseconds(len(samples))} ms: give {_MIN_MS} to {_MAX_MS}"
                )
            for tag in request.candidates:
                if tag not in self._languages:
                    raise UnknownLanguage(
                        f"candidates: {tag!r:.64} is not a language this model knows"
                    )
            top_k = request.top_k if request.HasField("top_k") else _DEFAULT_TOP_K
            if top_k < 1:
                raise InvalidRequest(f"top_k is {top_k}: give 1 or more")
            posteriors = await self._batcher.identify(samples)
            ranked = rank(self._languages, posteriors, tuple(request.candidates))[:top_k]
            return lid_pb2.IdentifyResponse(
                posteriors=[
                    lid_pb2.LanguagePosterior(language=language, probability=probability)
                    for language, probability in ranked
                ]
            )
        raise AssertionError("reporting() always ends the call")
