"""Language identification: `python -m lid_service`. Wiring only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from grpc.aio import Server
from panglot.v1 import lid_pb2, lid_pb2_grpc

from common.audio import Samples
from common.metrics import exposed, process_metrics
from common.service import run_server, start
from common.settings import load_settings
from common.tasks import alongside
from lid_service.batcher import Batcher, Posteriors
from lid_service.metrics import LidMetrics
from lid_service.servicer import LidServicer
from lid_service.settings import LidSettings
from speech.language_id.load import load_identifier
from speech.precision import limit_threads, place


async def run() -> None:
    """Load the model, then serve until told to stop."""
    settings = load_settings(LidSettings)
    limit_threads(settings.threads)
    placement = place(settings.device, settings.precision)
    model = load_identifier(settings.model, placement, settings.temperature)

    def identify(windows: Sequence[Samples]) -> Sequence[Posteriors]:
        return list(model.posteriors([torch.from_numpy(window) for window in windows]).numpy())

    registry = process_metrics()
    metrics = LidMetrics(registry)
    batcher = Batcher(identify, metrics, settings.max_batch_rows, settings.max_waiting)

    def register(server: Server) -> str:
        servicer = LidServicer(batcher, model.name, model.languages, metrics, settings)
        lid_pb2_grpc.add_LanguageIdServiceServicer_to_server(servicer, server)
        return lid_pb2.DESCRIPTOR.services_by_name["LanguageIdService"].full_name

    with exposed(settings.metrics_address, registry):
        async with alongside(batcher.run()):
            await run_server(settings.address, register, drain_s=settings.drain_s)


if __name__ == "__main__":
    start("lid", run)
