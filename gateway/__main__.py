"""The gateway: `python -m gateway`. Wiring only."""

from __future__ import annotations

import random

from grpc.aio import Server
from panglot.v1 import transcription_pb2, transcription_pb2_grpc

from common.adapter_files import AdapterFiles
from common.catalogue import models_url, universal_languages
from common.registry import FleetWatcher, connect
from common.relatives import Relatives
from common.service import run_server, start
from common.settings import load_settings
from common.store import StoreReader
from common.tasks import alongside
from common.zero_shot import StandIns, read_chains
from gateway.catalogue import CatalogueWatcher
from gateway.language import LanguageClient
from gateway.options import Services
from gateway.servicer import TranscriptionServicer
from gateway.settings import RELATIVES, GatewaySettings
from gateway.workers import WorkerPool


async def run() -> None:
    """Serve until told to stop."""
    settings = load_settings(GatewaySettings)
    stand_ins = StandIns(
        Relatives.read(), settings.zero_shot, read_chains(settings.relatives, RELATIVES)
    )
    redis = connect(settings.redis_url)
    fleet = FleetWatcher(redis)
    await fleet.refresh()
    store = StoreReader(AdapterFiles(models_url(settings.models)))
    lid = LanguageClient(settings.lid_address)
    catalogue = CatalogueWatcher(
        store, universal_languages(), lid.model_languages, settings.catalogue_s, stand_ins
    )
    services = Services(
        catalogue=catalogue,
        workers=WorkerPool(fleet, random.Random()),
        lid=lid,
    )
    servicer = TranscriptionServicer(services, fleet, settings)

    def register(server: Server) -> str:
        transcription_pb2_grpc.add_TranscriptionServiceServicer_to_server(servicer, server)
        return transcription_pb2.DESCRIPTOR.services_by_name["TranscriptionService"].full_name

    try:
        async with alongside(fleet.run(), catalogue.run()):
            await run_server(settings.address, register, drain_s=settings.drain_s)
    finally:
        await services.workers.close()
        await lid.close()
        await redis.aclose()


if __name__ == "__main__":
    start("gateway", run)
