"""Step 5, the side with I/O: channels to workers, and what this gateway has sent where."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import grpc
from panglot.v1 import asr_pb2_grpc

from common.catalogue import ServedLanguage
from common.fleet import FleetSnapshot, WorkerRecord
from common.registry import FleetWatcher
from gateway.router import check_room, choose_worker

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


class WorkerPool:
    """Chooses workers by the latest snapshot and keeps one channel to each."""

    def __init__(self, fleet: FleetWatcher, rng: random.Random) -> None:
        """Route by `fleet`'s snapshot, drawing among equals with `rng`."""
        self._fleet = fleet
        self._rng = rng
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._opened: Counter[str] = Counter()
        self._counted_for: FleetSnapshot | None = None

    def choose(self, language: ServedLanguage, excluded: AbstractSet[str]) -> WorkerRecord:
        """The worker for one span, which counts as sent there; raises NoWorker or Overloaded."""
        snapshot = self._latest()
        worker = choose_worker(
            *(snapshot, language.adapter, language.base_fingerprint),
            *(excluded, self._opened, self._rng),
        )
        self._opened[worker.worker_id] += 1
        return worker

    def check_room(self, fixed: ServedLanguage | None) -> None:
        """Raises Overloaded when a new stream would find every worker full."""
        check_room(self._latest(), fixed, self._opened)

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each further attempt of one span.

        None before the first; then they double, from 50 ms to a second, and each is drawn between
        half of that and all of it: spans that failed together do not come back together.
        """
        yield 0.0
        longest_s = _FIRST_PAUSE_S
        while True:
            yield self._rng.uniform(longest_s / 2, longest_s)
            longest_s = min(2 * longest_s, _LONGEST_PAUSE_S)

    def _latest(self) -> FleetSnapshot:
        snapshot = self._fleet.snapshot
        if snapshot is not self._counted_for:
            # What was opened before is in the workers' own figures now.
            self._opened.clear()
            self._counted_for = snapshot
        return snapshot

    def stub(self, worker: WorkerRecord) -> asr_pb2_grpc.AsrServiceAsyncStub:
        """The worker's service, over the channel kept to its address."""
        if worker.address not in self._channels:
            self._channels[worker.address] = grpc.aio.insecure_channel(
                worker.address,
                options=[
                    # A worker that comes back is tried again within a second, not in two minutes.
                    ("grpc.initial_reconnect_backoff_ms", 100),
                    ("grpc.max_reconnect_backoff_ms", 1000),
                    # One that hangs, or whose machine is gone, is noticed within 15 s.
                    ("grpc.keepalive_time_ms", 10_000),
                    ("grpc.keepalive_timeout_ms", 5_000),
                    ("grpc.http2.ping_timeout_ms", 5_000),
                ],
            )
        return asr_pb2_grpc.AsrServiceStub(self._channels[worker.address])

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels.values():
            await channel.close()
