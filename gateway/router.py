"""Step 5: which worker recognises a span: filter, score, pick, over a snapshot of the fleet.

Pure: the random generator is an argument. A span goes where its adapter is already in a slot and
the worker is not busy; else where a slot is free; else where it is expected to wait least.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from common.catalogue import ServedLanguage
from common.errors import NoBase, NoWorker, Overloaded
from common.fleet import UNIVERSAL, FleetSnapshot, WorkerRecord

BUSY = 0.75
"""Share of `max_spans` from which a worker is busy.

Below it a batch still has room and a span waits for nobody. Above it, finals begin to queue behind
one another, which costs every batch from then on, while loading the adapter into another worker
costs a few milliseconds once; and the last quarter is needed for the bursts between two snapshots.
"""

LOAD_DELAY = 0.125
"""Loading an adapter into a free slot, in the unit of utilisation: worth an eighth more queue."""

EVICTION_DELAY = 0.25
"""Loading it in place of another: the one that left will be missed and loaded again elsewhere."""

DELAY_STEP = 0.125
"""Delays within one step are equal: a finer ranking of stale numbers sends all gateways one way."""

Score = tuple[int, int]
"""Tier, then steps of expected delay within it; less is better."""


def choose_worker(
    snapshot: FleetSnapshot,
    adapter: str,
    base_fingerprint: str | None,
    excluded: AbstractSet[str],
    local_load: Mapping[str, int],
    rng: random.Random,
) -> WorkerRecord:
    """Step 5: the worker for one span.

    Args:
        snapshot: the fleet as last published.
        adapter: `<id>@<version>`, or UNIVERSAL.
        base_fingerprint: of the encoder that the adapter needs; None for UNIVERSAL.
        excluded: ids of workers that failed this span.
        local_load: spans this gateway has opened since the snapshot, by worker id. Other gateways
            do the same unseen, hence the random choice among equals.

    Raises:
        NoBase: no worker that is alive runs the base.
        NoWorker: none of those that do takes new spans.
        Overloaded: there are such workers, and all are full.
    """
    able = filter_able(snapshot.workers, adapter, base_fingerprint)
    alive = filter_alive(able, adapter, excluded)
    if not snapshot.available:
        return pick_by_hash(alive, adapter, local_load)
    loads = {worker.worker_id: load_of(worker, local_load) for worker in alive}
    open_workers = filter_full(alive, loads)
    scores = [score(worker, adapter, loads[worker.worker_id]) for worker in open_workers]
    best = min(scores)
    equals = [worker for worker, scored in zip(open_workers, scores, strict=True) if scored == best]
    return pick(equals, loads, rng)


def check_room(
    snapshot: FleetSnapshot, fixed: ServedLanguage | None, local_load: Mapping[str, int]
) -> None:
    """Whether a new stream would be heard, so that no audio is taken that nobody recognises.

    Args:
        snapshot: the fleet as last published.
        fixed: the language of the whole stream; None where it is to be identified.
        local_load: as in `choose_worker`.

    Raises:
        Overloaded: every worker that could serve the stream is full. A fleet of which nobody is
            alive, or whose load is not known, is no reason to refuse: it may be back in a moment.
    """
    workers = [worker for worker in snapshot.workers if not worker.draining]
    if fixed is not None:
        workers = [one for one in workers if is_able(one, fixed.adapter, fixed.base_fingerprint)]
    if workers and snapshot.available:
        filter_full(workers, {one.worker_id: load_of(one, local_load) for one in workers})


def load_of(worker: WorkerRecord, local_load: Mapping[str, int]) -> int:
    """Spans that count against its `max_spans`."""
    return worker.active_spans + local_load.get(worker.worker_id, 0)


def is_able(worker: WorkerRecord, adapter: str, base_fingerprint: str | None) -> bool:
    """Whether it runs the base that `adapter` needs; one that does not tell its base is tried."""
    if adapter == UNIVERSAL:
        return worker.universal
    return worker.slot_count > 0 and worker.base_fingerprint in ("", base_fingerprint)


def filter_able(
    workers: Sequence[WorkerRecord], adapter: str, base_fingerprint: str | None
) -> list[WorkerRecord]:
    """Workers that run the right base. Raises NoBase if there are workers, and none does."""
    able = [worker for worker in workers if is_able(worker, adapter, base_fingerprint)]
    if able or not workers:
        return able
    if adapter == UNIVERSAL:
        raise NoBase(
            "no worker has the universal decoder, which serves a language without an adapter: "
            "start one whose PANGLOT_BASE_MODEL is a Whisper model"
        )
    raise NoBase(
        f"no worker runs base {base_fingerprint:.15}… that adapter {adapter} needs; start one "
        "with PANGLOT_BASE_MODEL"
    )


def filter_alive(
    workers: Sequence[WorkerRecord], adapter: str, excluded: AbstractSet[str]
) -> list[WorkerRecord]:
    """Workers that take new spans. Raises NoWorker if there is none."""
    alive = [
        worker for worker in workers if not worker.draining and worker.worker_id not in excluded
    ]
    if alive:
        return alive
    draining = sum(worker.draining for worker in workers)
    failed = sum(worker.worker_id in excluded for worker in workers)
    raise NoWorker(
        f"no worker can take {adapter}: of {len(workers)} alive that could, {draining} are "
        f"draining and {failed} just failed this request; try again in a moment"
    )


def filter_full(workers: Sequence[WorkerRecord], loads: Mapping[str, int]) -> list[WorkerRecord]:
    """Workers with room for one more span. Raises Overloaded if there is none."""
    open_workers = [worker for worker in workers if loads[worker.worker_id] < worker.max_spans]
    if not open_workers:
        spans = sum(worker.max_spans for worker in workers)
        raise Overloaded(
            f"all {len(workers)} workers are full ({spans} spans); try again in a moment"
        )
    return open_workers


def score(worker: WorkerRecord, adapter: str, load: int) -> Score:
    """How good a place `worker` is for one more span of `adapter`."""
    utilisation = load / worker.max_spans
    if adapter == UNIVERSAL:
        return (0, int(utilisation / DELAY_STEP))
    warm = adapter in worker.resident_adapters
    free_slot = len(worker.resident_adapters) < worker.slot_count
    if utilisation < BUSY and warm:
        return (0, 0)
    if utilisation < BUSY and free_slot:
        return (1, 0)
    delay = utilisation + (0 if warm else LOAD_DELAY if free_slot else EVICTION_DELAY)
    return (2, int(delay / DELAY_STEP))


def pick(
    equals: Sequence[WorkerRecord], loads: Mapping[str, int], rng: random.Random
) -> WorkerRecord:
    """The less loaded of two drawn at random: nearly as even as the least loaded of all, and many
    gateways with the same old numbers do not all choose the same one (Mitzenmacher, "The Power of
    Two Choices in Randomized Load Balancing", 2001)."""
    drawn = rng.sample(equals, min(2, len(equals)))
    return min(drawn, key=lambda worker: loads[worker.worker_id] / worker.max_spans)


def pick_by_hash(
    workers: Sequence[WorkerRecord], adapter: str, local_load: Mapping[str, int]
) -> WorkerRecord:
    """Without the registry: rendezvous hashing (Thaler and Ravishankar, 1998).

    Every gateway sends an adapter to the same worker without asking anyone, so it stays warm there,
    and a worker that leaves moves only its own adapters. Loads are not known but for our own; a
    worker that is full of those is passed over. Raises Overloaded if all are.
    """
    ours = {worker.worker_id: local_load.get(worker.worker_id, 0) for worker in workers}
    return max(
        filter_full(workers, ours), key=lambda worker: _hash(f"{worker.worker_id}\0{adapter}")
    )


def _hash(text: str) -> int:
    # Not `hash()`: that differs from process to process.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
