"""A worker: `python -m asr_service`. Wiring only."""

from __future__ import annotations

import asyncio
import os
import socket

from grpc.aio import Server
from panglot.v1 import asr_pb2, asr_pb2_grpc

from asr_service.engine import Engine
from asr_service.host_memory import HostMemory
from asr_service.lane import UniversalLane
from asr_service.load import Admission, PartialShare, memory_bytes
from asr_service.model import WorkerModel
from asr_service.residency import AdapterCache
from asr_service.schedule import Schedule, ScheduleLimits
from asr_service.servicer import AsrServicer
from asr_service.settings import WorkerSettings
from common.adapter_files import AdapterFiles
from common.catalogue import models_url
from common.fleet import WorkerRecord
from common.registry import WorkerPublisher, connect
from common.service import run_server, start
from common.settings import load_settings
from common.tasks import alongside
from speech.adapters.slots import AdapterSlots, SlotLimits
from speech.adapters.store import AdapterStore
from speech.base_model import WhisperBase, load_base_model
from speech.encoder import FRAME_MS
from speech.features import SAMPLE_RATE_HZ
from speech.precision import limit_threads, place


async def run() -> None:
    """Load the model, then serve until told to stop."""
    settings = load_settings(WorkerSettings)
    limit_threads(settings.threads)
    placement = place(settings.device, settings.precision)
    base = load_base_model(settings.base_model)
    limits = SlotLimits(settings.slots, settings.max_rank, settings.max_vocabulary)
    slots = AdapterSlots(limits, base.encoder, placement)
    files = AdapterFiles(models_url(settings.models))
    store = AdapterStore(files, base.fingerprint, base.encoder.d_model)
    model = WorkerModel(base, slots, placement, settings.beam_size)
    schedule = Schedule(
        ScheduleLimits(
            max_rows=settings.max_batch_rows,
            max_frames=int(settings.max_batch_s * 1000) // FRAME_MS,
            final_deadline_s=settings.final_deadline_s,
            max_jobs=2 * settings.max_spans,  # of each span a partial and a final
            max_waiting_frames=int(settings.max_waiting_s * 1000) // FRAME_MS,
        )
    )
    clock = asyncio.get_running_loop().time
    spans = Admission(settings.max_spans, settings.final_deadline_s, clock)
    engine = Engine(
        model,
        schedule,
        UniversalLane(settings.lane),
        PartialShare(settings.partial_share, clock),
        spans,
    )

    worker_id = settings.worker_id or f"{socket.gethostname()}-{os.getpid()}"

    def record() -> WorkerRecord:
        return WorkerRecord(
            worker_id=worker_id,
            address=settings.advertise or settings.address,
            resident_adapters=adapters.residents,
            slot_count=settings.slots,
            active_spans=spans.active,
            max_spans=spans.allowed,
            draining=spans.draining,
            memory_bytes=memory_bytes(),
            adapter_hits=adapters.hits,
            adapter_misses=adapters.misses,
            base_model=base.name,
            base_fingerprint=base.fingerprint,
            universal=isinstance(base, WhisperBase),
        )

    redis = connect(settings.redis_url)
    publisher = WorkerPublisher(redis, record)
    adapters = AdapterCache(store, HostMemory(settings.host_mib * 2**20), slots, publisher.changed)
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
        await redis.aclose()


if __name__ == "__main__":
    start("asr", run)
