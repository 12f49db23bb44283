"""A worker: `python -m asr_service`. Wiring only."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor

from grpc.aio import Server
from panglot.v1 import asr_pb2, asr_pb2_grpc

from asr_service.engine import Engine
from asr_service.load import SpanCounter, memory_bytes
from asr_service.model import WorkerModel
from asr_service.residency import AdapterCache
from asr_service.schedule import Schedule
from asr_service.servicer import AsrServicer
from asr_service.settings import WorkerSettings
from common.catalogue import models_directory
from common.fleet import WorkerRecord
from common.registry import WorkerPublisher, connect
from common.service import run_server, start
from common.settings import load_settings
from common.tasks import alongside
from speech.adapters.slots import BottleneckSlots, SlotLimits
from speech.adapters.store import AdapterStore
from speech.base_model import load_base_model
from speech.features import SAMPLE_RATE_HZ
from speech.precision import dtype_of, limit_threads


async def run() -> None:
    """Load the model, then serve until told to stop."""
    settings = load_settings(WorkerSettings)
    limit_threads(settings.threads)
    dtype = dtype_of(settings.precision)
    base = load_base_model(settings.base_model)
    d_model = int(base.whisper.config.d_model)
    slots = BottleneckSlots(
        SlotLimits(settings.slots), d_model, int(base.whisper.config.encoder_layers), dtype
    )
    store = AdapterStore(models_directory(settings.models), base.fingerprint, d_model)
    model = WorkerModel(base, slots, dtype, settings.beam_size)
    schedule = Schedule(settings.max_batch_rows, int(settings.max_batch_s * SAMPLE_RATE_HZ))
    engine = Engine(model, schedule, settings.final_deadline_s)
    spans = SpanCounter(settings.max_spans)

    worker_id = settings.worker_id or f"{socket.gethostname()}-{os.getpid()}"

    def record() -> WorkerRecord:
        return WorkerRecord(
            worker_id=worker_id,
            address=settings.advertise or settings.address,
            resident_adapters=adapters.residents,
            slot_count=settings.slots,
            active_spans=spans.active,
            max_spans=spans.limit,
            draining=spans.draining,
            memory_bytes=memory_bytes(),
            adapter_hits=adapters.hits,
            adapter_misses=adapters.misses,
        )

    redis = connect(settings.redis_url)
    publisher = WorkerPublisher(redis, record)
    loader = ThreadPoolExecutor(1, thread_name_prefix="load")
    adapters = AdapterCache(store, slots, loader, publisher.changed)
    servicer = AsrServicer(
        engine,
        adapters,
        spans,
        settings,
        model.max_samples * 1000 // SAMPLE_RATE_HZ,
        model.languages,
    )

    def register(server: Server) -> str:
        asr_pb2_grpc.add_AsrServiceServicer_to_server(servicer, server)
        return asr_pb2.DESCRIPTOR.services_by_name["AsrService"].full_name

    async def draining() -> None:
        spans.draining = True
        publisher.changed()

    try:
        async with alongside(engine.run(), publisher.run()):
            await run_server(
                settings.address, register, drain_s=settings.drain_s, draining=draining
            )
    finally:
        await publisher.withdraw()
        await adapters.close()
        loader.shutdown()
        await redis.aclose()


if __name__ == "__main__":
    start("asr", run)
