"""A model, a store and slots that do what the test tells them to."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr_service.engine import Engine
from asr_service.jobs import Audio, Job
from asr_service.lane import UniversalLane
from asr_service.load import Admission, PartialShare
from asr_service.model import CtcRow, Heard, WorkerModel
from asr_service.residency import Resident
from asr_service.schedule import Schedule, ScheduleLimits
from speech.adapters.card import AdapterCard
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.slots import AdapterSlots, SlotLimits
from speech.adapters.store import AdapterStore, LoadedAdapter
from speech.ctc.paths import Path, greedy
from speech.whisper.universal import UniversalDecoding
from tests.speech.tiny import D_MODEL, make_card, random_adapter

ADAPTER = random_adapter(AdapterShape(BOTTLENECK, D_MODEL, 2, (0,), 10))
CARD: AdapterCard = make_card(ADAPTER, "it", "sha256:")
RESIDENT = Resident(1, CARD, None)
"""Writes `" "` as class 1 and a to h as 2 to 9."""


def saying(number: int, n_samples: int = 16_000) -> Audio:
    """Audio in which the fake model hears the letter of that number, 2 to 9."""
    return np.full(n_samples, number, dtype=np.float32)


POISON = saying(-1)
"""Audio at which the fake model fails."""
UNDECODABLE = saying(-2)
"""Audio for which it returns what no decoder can take."""


class FakeDecoding(UniversalDecoding):
    """Is done after as many steps as its audio says."""

    def __init__(self, n_steps: int) -> None:
        self.left = n_steps
        self.done = False
        self.hurried = False

    def hurry(self) -> None:
        self.hurried = True
        self.left = min(self.left, 1)

    def advance(self) -> None:
        self.left -= 1
        self.done = self.left <= 0


class FakeModel(WorkerModel):
    """Hears letters; waits in `encode` and `step` while `gate` is closed."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Semaphore(0)
        self.calls: list[str] = []
        self.batches: list[tuple[Job, ...]] = []
        self.stepped: list[int] = []
        self.fail_results = False
        self.fail_steps = False

    def _enter(self, call: str) -> None:
        self.calls.append(call)
        self.began.release()
        assert self.gate.wait(10), "the test left the gate closed"

    def encode(self, batch: Sequence[Job]) -> list[CtcRow | UniversalDecoding]:
        self._enter("encode")
        self.batches.append(tuple(batch))
        heard = [int(job.audio[0]) for job in batch]
        if -1 in heard:
            raise RuntimeError("poison")
        rows: list[CtcRow | UniversalDecoding] = []
        for job, number in zip(batch, heard, strict=True):
            if job.resident is None:
                rows.append(FakeDecoding(number))
            elif number == -2:
                empty = np.zeros(0, np.int64)
                rows.append(CtcRow(Path((99,), empty, empty.astype(np.float32)), None))
            else:
                log_probs = np.full((5, 10), -20.0, dtype=np.float32)
                log_probs[:, number] = 0.0
                rows.append(CtcRow(greedy(log_probs), None))
        return rows

    def step(self, decodings: Sequence[UniversalDecoding]) -> None:
        self._enter("step")
        if self.fail_steps:
            raise RuntimeError("no step")
        self.stepped.append(len(decodings))
        for decoding in decodings:
            assert isinstance(decoding, FakeDecoding)
            decoding.advance()

    def universal_result(self, decoding: UniversalDecoding) -> Heard:
        self.calls.append("result")
        if self.fail_results:
            self.fail_results = False
            raise RuntimeError("no result")
        return Heard("universal", (), 0.5)

    async def entered(self, count: int = 1) -> None:
        """Wait until `count` more calls have begun."""
        for _ in range(count):
            assert await asyncio.to_thread(self.began.acquire, timeout=10)


def engine_of(
    model: WorkerModel,
    *,
    max_rows: int = 4,
    max_jobs: int = 1000,
    lane: int = 8,
    max_spans: int = 3,
    final_s: float = 0.5,
) -> tuple[Engine, Admission]:
    """An engine that lacks nothing but time, and what it reports to."""
    limits = ScheduleLimits(max_rows, 10**6, final_s, max_jobs, 10**9)
    admission = Admission(max_spans, final_s, time.monotonic)
    partials = PartialShare(1.0, time.monotonic)
    return Engine(model, Schedule(limits), UniversalLane(lane), partials, admission), admission


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[asyncio.Task[None]]:
    """The engine's loop for the duration."""
    task = asyncio.create_task(engine.run())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class FakeStore(AdapterStore):
    """Holds every adapter; `on_load` runs on the loader's thread."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.on_load: Callable[[str], Any] = lambda key: None

    def load(self, key: str) -> LoadedAdapter:
        self.loads.append(key)
        self.on_load(key)
        card = make_card(ADAPTER, key.partition("@")[0], "sha256:")
        return LoadedAdapter(card, ADAPTER.shape, {}, None)


class FakeSlots(AdapterSlots):
    """Remembers what was written where; `on_write` runs on the loader's thread."""

    def __init__(self, n_slot: int) -> None:
        self.limits = SlotLimits(n_slot)
        self.writes: list[int] = []
        self.on_write: Callable[[int], Any] = lambda slot: None

    def pack(self, shape: AdapterShape, tensors: dict[str, Tensor]) -> Tensor:
        return torch.zeros(4)

    def write(self, slot: int, shape: AdapterShape, packed: Tensor) -> None:
        self.writes.append(slot)
        self.on_write(slot)
