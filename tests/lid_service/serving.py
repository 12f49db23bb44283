"""The service on a real socket, around any identifier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import torch
from panglot.v1 import lid_pb2_grpc
from prometheus_client import CollectorRegistry
from torch import Tensor

from common.audio import Samples
from common.service import MAX_MESSAGE_BYTES
from lid_service.batcher import Batcher, Posteriors
from lid_service.metrics import LidMetrics
from lid_service.servicer import LidServicer
from lid_service.settings import LidSettings
from speech.language_id.identifier import LanguageIdentifier


class FakeIdentifier:
    """Hears `rows`, one after the other and the last for ever; background last in each.

    Attributes:
        heard: lengths of all windows, in samples.
    """

    name = "fake"
    languages = ("en", "zh", "de", "jv")

    def __init__(self, *rows: Sequence[float]) -> None:
        self._rows = list(rows)
        self.heard: list[int] = []

    def posteriors(self, windows: Sequence[Tensor]) -> Tensor:
        self.heard += [len(window) for window in windows]
        rows = [self._rows.pop(0) if len(self._rows) > 1 else self._rows[0] for _ in windows]
        return torch.tensor(rows, dtype=torch.float32)


@dataclass(frozen=True)
class Service:
    """One that runs."""

    address: str
    stub: lid_pb2_grpc.LanguageIdServiceAsyncStub
    registry: CollectorRegistry

    def count(self, name: str, **labels: str) -> float:
        """A sample of its metrics; 0 where there is none."""
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def serving(
    model: LanguageIdentifier, settings: LidSettings | None = None
) -> AsyncIterator[Service]:
    """Serve `model` for the duration of the block."""
    settings = settings or LidSettings(max_batch_rows=4, max_waiting=16)

    def identify(windows: Sequence[Samples]) -> Sequence[Posteriors]:
        return list(model.posteriors([torch.from_numpy(window) for window in windows]).numpy())

    registry = CollectorRegistry()
    metrics = LidMetrics(registry)
    batcher = Batcher(identify, metrics, settings.max_batch_rows, settings.max_waiting)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
    lid_pb2_grpc.add_LanguageIdServiceServicer_to_server(
        LidServicer(batcher, model.name, model.languages, metrics, settings), server
    )
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    batching = asyncio.create_task(batcher.run())
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Service(address, lid_pb2_grpc.LanguageIdServiceStub(channel), registry)
    finally:
        await server.stop(None)
        batching.cancel()
        with suppress(asyncio.CancelledError):
            await batching
