"""What the registry knows of the fleet, as values. No I/O: see `common.registry`."""

from __future__ import annotations

from dataclasses import dataclass

UNIVERSAL = "universal"
"""Stands in place of `<adapter id>@<version>` where Whisper's own decoder serves a language."""


@dataclass(frozen=True)
class WorkerRecord:
    """One worker as it last published itself.

    Attributes:
        worker_id: unique in the fleet, kept over the worker's life.
        address: `host:port` of its gRPC server.
        resident_adapters: `<id>@<version>` in its slots, most recently used first.
        slot_count: how many adapters it can hold at once.
        active_spans: spans it is recognising now.
        max_spans: spans it accepts at once, now: fewer than ever while its finals are late.
        draining: it finishes what it has and accepts nothing new.
        memory_bytes: resident set size of the process.
        adapter_hits, adapter_misses: spans whose adapter was found in a slot, or had to be loaded.

    What has a default came later, and is what a worker of an earlier release means by its silence:

        base_model: the name of the base model it runs, for people to read.
        base_fingerprint: `sha256:…` of its encoder; an adapter fits one only. Empty: not told.
        universal: it has the universal decoder.
    """

    worker_id: str
    address: str
    resident_adapters: tuple[str, ...]
    slot_count: int
    active_spans: int
    max_spans: int
    draining: bool
    memory_bytes: int
    adapter_hits: int
    adapter_misses: int
    base_model: str = ""
    base_fingerprint: str = ""
    universal: bool = True


@dataclass(frozen=True)
class FleetSnapshot:
    """All workers with a live lease, by `worker_id` order; `available` is whether Redis answered.

    When it did not, `workers` is what was known last, and residency in it may be out of date.
    """

    workers: tuple[WorkerRecord, ...]
    available: bool
