"""Wire to domain and back for the gateway. No logic here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog
from panglot.v1 import transcription_pb2, transcription_pb2_grpc

from common.errors import InvalidRequest, Overloaded
from common.fleet import WorkerRecord
from common.registry import FleetWatcher
from common.service import reporting
from gateway import answers
from gateway.options import Services
from gateway.selection import MAX_TAGS
from gateway.session import Session
from gateway.settings import GatewaySettings

_log = structlog.get_logger()


class TranscriptionServicer(transcription_pb2_grpc.TranscriptionServiceServicer):
    """`panglot.v1.TranscriptionService`."""

    def __init__(self, services: Services, fleet: FleetWatcher, settings: GatewaySettings) -> None:
        """Serve streams with `services`."""
        self._services = services
        self._fleet = fleet
        self._settings = settings
        self._n_streams = 0

    # A coroutine that writes, where the stub knows only generators: a generator that is closed in
    # the middle of its tasks cannot say why.
    async def Transcribe(  # type: ignore[override]  # noqa: N802 the name is the protocol's
        self,
        request_iterator: AsyncIterator[transcription_pb2.TranscribeRequest],
        context: grpc.aio.ServicerContext[
            transcription_pb2.TranscribeRequest, transcription_pb2.TranscribeResponse
        ],
    ) -> None:
        """One stream; see the proto."""
        async with reporting(context):
            if self._n_streams >= self._settings.max_streams:
                raise Overloaded(
                    f"this gateway has {self._settings.max_streams} streams: try again later"
                )
            session = Session(self._services, self._settings, context.write)
            self._n_streams += 1
            try:
                with structlog.contextvars.bound_contextvars(stream=session.stream_id):
                    await session.run(request_iterator)
            finally:
                self._n_streams -= 1

    async def ListLanguages(  # noqa: N802
        self,
        request: transcription_pb2.ListLanguagesRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> transcription_pb2.ListLanguagesResponse:
        """All languages that are served themselves, by tag, or those that are asked for."""
        async with reporting(context):
            catalogue = self._services.catalogue.latest
            if len(request.tags) > MAX_TAGS:
                raise InvalidRequest(f"tags has {len(request.tags)} tags: give at most {MAX_TAGS}")
            found = [language for _, language in sorted(catalogue.languages.items())]
            if request.tags:
                # In a thread: the relatives of many languages take a while.
                found = await asyncio.to_thread(
                    lambda: [catalogue.find(tag, "tags") for tag in request.tags]
                )
            return transcription_pb2.ListLanguagesResponse(
                languages=[answers.language(each) for each in found]
            )

    async def GetFleet(  # noqa: N802
        self,
        request: transcription_pb2.GetFleetRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> transcription_pb2.GetFleetResponse:
        """The fleet as this gateway sees it."""
        snapshot = self._fleet.snapshot
        return transcription_pb2.GetFleetResponse(
            workers=[_worker(record) for record in snapshot.workers],
            registry_available=snapshot.available,
        )


def _worker(record: WorkerRecord) -> transcription_pb2.Worker:
    return transcription_pb2.Worker(
        worker_id=record.worker_id,
        address=record.address,
        resident_adapters=record.resident_adapters,
        slot_count=record.slot_count,
        active_spans=record.active_spans,
        max_spans=record.max_spans,
        draining=record.draining,
        memory_bytes=record.memory_bytes,
        adapter_hits=record.adapter_hits,
        adapter_misses=record.adapter_misses,
        base_model=record.base_model,
        base_fingerprint=record.base_fingerprint,
        universal=record.universal,
    )
