"""Step 5: where a span goes."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.catalogue import ServedLanguage
from common.errors import NoBase, NoWorker, Overloaded
from common.fleet import UNIVERSAL, FleetSnapshot, WorkerRecord
from gateway.router import check_room, choose_worker

ADAPTER = "it-base@1"
BASE, OTHER_BASE = "sha256:0123456789abcdef", "sha256:fedcba9876543210"


def worker(
    name: str,
    resident: tuple[str, ...] = (),
    *,
    slots: int = 4,
    active: int = 0,
    most: int = 16,
    draining: bool = False,
    base: str = BASE,
    universal: bool = True,
) -> WorkerRecord:
    return WorkerRecord(
        *(name, f"{name}:1", resident, slots, active, most, draining, 0, 0, 0),
        base_fingerprint=base,
        universal=universal,
    )


WARM = (ADAPTER,)
OTHERS = ("a@1", "b@1", "c@1", "d@1")


def chosen(
    *workers: WorkerRecord,
    adapter: str = ADAPTER,
    excluded: frozenset[str] = frozenset(),
    local: dict[str, int] | None = None,
    available: bool = True,
) -> set[str]:
    """Every worker that some draw of luck picks."""
    snapshot = FleetSnapshot(workers, available)
    base = None if adapter == UNIVERSAL else BASE
    return {
        choose_worker(snapshot, adapter, base, excluded, local or {}, random.Random(seed)).worker_id
        for seed in range(40)
    }


def test_warm_and_not_busy_comes_first() -> None:
    assert chosen(
        worker("warm", WARM, active=11), worker("free"), worker("full-slots", OTHERS)
    ) == {"warm"}


def test_then_a_free_slot() -> None:
    assert chosen(
        worker("warm-busy", WARM, active=12), worker("free", active=11), worker("evict", OTHERS)
    ) == {"free"}


def test_then_the_least_expected_delay() -> None:
    warm_busy = worker("warm-busy", WARM, active=14)
    assert chosen(warm_busy, worker("evict", OTHERS, active=13)) == {"warm-busy"}
    assert chosen(warm_busy, worker("evict", OTHERS, active=2)) == {"evict"}
    # Loading into a free slot costs less than pushing another out.
    assert chosen(worker("free-busy", active=12), worker("evict", OTHERS, active=12)) == {
        "free-busy"
    }


def test_what_this_gateway_opened_since_counts() -> None:
    workers = (worker("warm", WARM, active=8), worker("free"))
    assert chosen(*workers) == {"warm"}
    assert chosen(*workers, local={"warm": 4}) == {"free"}


def test_equals_share_and_the_fuller_of_two_is_left_alone() -> None:
    assert chosen(*(worker(name, WARM) for name in "abcd")) == set("abcd")
    assert chosen(worker("a", WARM, active=3), worker("b", WARM, active=2)) == {"b"}
    # Fullness is a share: 4 of 32 is less than 3 of 16.
    assert chosen(worker("a", WARM, active=4, most=32), worker("b", WARM, active=3)) == {"a"}


def test_two_choices_keep_a_fleet_even() -> None:
    workers = tuple(worker(f"w{index}", WARM, most=64) for index in range(20))
    local: Counter[str] = Counter()
    rng = random.Random(1)
    for _ in range(400):
        snapshot = FleetSnapshot(workers, available=True)
        local[choose_worker(snapshot, ADAPTER, BASE, frozenset(), local, rng).worker_id] += 1
    assert min(local.values()) >= 17
    assert max(local.values()) <= 23


def test_universal_goes_to_the_least_loaded_whatever_is_resident() -> None:
    workers = (worker("a", WARM, active=8), worker("b", OTHERS, active=2), worker("c", active=12))
    assert chosen(*workers, adapter=UNIVERSAL) == {"b"}
    no_slots = worker("d", slots=0, active=0)
    assert chosen(*workers, no_slots, adapter=UNIVERSAL) == {"d"}
    assert "d" not in chosen(*workers, no_slots)


@pytest.mark.parametrize("available", [True, False])
def test_nobody_left_says_why(available: bool) -> None:
    with pytest.raises(NoWorker, match="of 0 alive"):
        chosen(available=available)
    with pytest.raises(NoWorker, match="of 2 alive that could, 1 are draining and 1 just failed"):
        chosen(
            worker("a", draining=True),
            worker("b"),
            excluded=frozenset({"b"}),
            available=available,
        )


def test_all_full() -> None:
    full = (worker("a", active=16), worker("b", WARM, active=15))
    with pytest.raises(Overloaded, match="all 2 workers are full"):
        chosen(*full, local={"b": 1})
    with pytest.raises(Overloaded):
        chosen(worker("none", most=0))


# Fleets of several bases

MMS = worker("mms", base=OTHER_BASE, universal=False)
BUSY_WHISPER = worker("whisper", OTHERS, active=15)
EARLIER = worker("earlier", base="", active=15)


@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize(
    ("workers", "adapter", "homes"),
    [
        ((BUSY_WHISPER, MMS), ADAPTER, {"whisper"}),
        ((BUSY_WHISPER, MMS), UNIVERSAL, {"whisper"}),
        # An earlier release says nothing of its base, and had one only.
        ((EARLIER, MMS), ADAPTER, {"earlier"}),
        ((EARLIER, MMS), UNIVERSAL, {"earlier"}),
    ],
)
def test_only_to_a_worker_of_the_base(
    available: bool, workers: tuple[WorkerRecord, ...], adapter: str, homes: set[str]
) -> None:
    assert chosen(*workers, adapter=adapter, available=available) == homes


@pytest.mark.parametrize("available", [True, False])
def test_a_base_that_nobody_runs_is_named(available: bool) -> None:
    with pytest.raises(NoBase) as refused:
        chosen(MMS, available=available)
    assert str(refused.value) == (
        "no worker runs base sha256:01234567… that adapter it-base@1 needs; start one with "
        "PANGLOT_BASE_MODEL"
    )
    with pytest.raises(NoBase, match=r"no worker has the universal decoder.*a Whisper model"):
        chosen(MMS, adapter=UNIVERSAL, available=available)
    with pytest.raises(NoWorker, match="of 1 alive that could, 0 are draining and 1 just failed"):
        chosen(MMS, worker("a"), excluded=frozenset({"a"}), available=available)


# New streams

ITALIAN = ServedLanguage("it", "Italian", ADAPTER, BASE, None)
GERMAN = ServedLanguage("de", "German", UNIVERSAL, None, None)
FULL = worker("full", active=16)
OVERFULL = worker("overfull", active=9, most=3)
GONE = worker("gone", draining=True)


@pytest.mark.parametrize(
    ("workers", "fixed", "refused"),
    [
        ((FULL, OVERFULL), None, True),
        ((FULL, OVERFULL, GONE), ITALIAN, True),
        ((FULL, OVERFULL, worker("a", active=15)), None, False),
        ((FULL, MMS), None, False),
        ((FULL, MMS), ITALIAN, True),
        ((FULL, MMS), GERMAN, True),
        # Nobody there: it may be back in a moment, and a span waits for it.
        ((), None, False),
        ((GONE,), ITALIAN, False),
        ((MMS,), ITALIAN, False),
    ],
)
def test_a_stream_that_nobody_would_hear_is_refused(
    workers: tuple[WorkerRecord, ...], fixed: ServedLanguage | None, refused: bool
) -> None:
    snapshot = FleetSnapshot(workers, available=True)
    if refused:
        with pytest.raises(Overloaded, match=r"all \d workers are full"):
            check_room(snapshot, fixed, {})
    else:
        check_room(snapshot, fixed, {})
    check_room(FleetSnapshot(workers, available=False), fixed, {})


def test_what_this_gateway_opened_since_counts_for_new_streams_too() -> None:
    snapshot = FleetSnapshot((worker("a", active=15),), available=True)
    check_room(snapshot, ITALIAN, {})
    with pytest.raises(Overloaded):
        check_room(snapshot, ITALIAN, {"a": 1})


# Without the registry


def test_without_registry_every_gateway_agrees_and_load_seen_last_does_not_matter() -> None:
    workers = tuple(worker(name) for name in "abcdefgh")
    home = chosen(*workers, available=False)
    assert len(home) == 1
    busy = tuple(worker(w.worker_id, OTHERS, active=16) for w in workers)
    assert chosen(*reversed(busy), available=False) == home


def test_without_registry_the_homes_are_known_by_heart() -> None:
    # Gateways of different releases must agree: a change here moves every adapter of a fleet.
    workers = tuple(worker(name) for name in "abcd")
    homes = [chosen(*workers, adapter=f"x{i}@1", available=False).pop() for i in range(8)]
    assert "".join(homes) == "cbdacdcd"


def test_without_registry_a_worker_that_leaves_moves_only_its_own() -> None:
    workers = tuple(worker(f"w{index}") for index in range(10))
    adapters = [f"adapter-{index}@1" for index in range(200)]

    def homes(*present: WorkerRecord) -> dict[str, str]:
        return {a: chosen(*present, adapter=a, available=False).pop() for a in adapters}

    before, after = homes(*workers), homes(*workers[:4], *workers[5:])
    for adapter in adapters:
        assert after[adapter] != "w4"
        if before[adapter] != "w4":
            assert after[adapter] == before[adapter]
    assert 8 <= sum(home == "w4" for home in before.values()) <= 36


def test_without_registry_excluded_and_full_of_ours_are_passed_over() -> None:
    workers = tuple(worker(name, most=3) for name in "abcd")
    home = chosen(*workers, available=False).pop()
    next_home = chosen(*workers, excluded=frozenset({home}), available=False)
    assert home not in next_home
    assert chosen(*workers, local={home: 3}, available=False) == next_home
    with pytest.raises(Overloaded):
        chosen(*workers, local=dict.fromkeys("abcd", 3), available=False)


workers_strategy = st.lists(
    st.builds(
        WorkerRecord,
        worker_id=st.sampled_from("abcdefgh"),
        address=st.just("x:1"),
        resident_adapters=st.sampled_from([(), WARM, OTHERS, (*OTHERS[:3], ADAPTER)]),
        slot_count=st.integers(0, 4),
        active_spans=st.integers(0, 4),
        max_spans=st.integers(0, 4),
        draining=st.booleans(),
        memory_bytes=st.just(0),
        adapter_hits=st.just(0),
        adapter_misses=st.just(0),
        base_fingerprint=st.sampled_from(["", BASE, BASE, OTHER_BASE]),
        universal=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda record: record.worker_id,
).map(tuple)


@given(
    workers_strategy,
    st.sampled_from([ADAPTER, UNIVERSAL]),
    st.frozensets(st.sampled_from("abcdefgh"), max_size=4),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2)),
    st.tuples(st.booleans(), st.integers(0, 9)),
)
def test_never_to_a_worker_that_cannot(
    workers: tuple[WorkerRecord, ...],
    adapter: str,
    excluded: frozenset[str],
    local: dict[str, int],
    luck: tuple[bool, int],
) -> None:
    available, seed = luck
    alive = [
        w
        for w in workers
        if not w.draining
        and w.worker_id not in excluded
        and (
            w.universal
            if adapter == UNIVERSAL
            else w.slot_count and w.base_fingerprint != OTHER_BASE
        )
    ]
    room = [
        w for w in alive if local.get(w.worker_id, 0) + w.active_spans * available < w.max_spans
    ]
    base = None if adapter == UNIVERSAL else BASE
    snapshot, rng = FleetSnapshot(workers, available), random.Random(seed)
    if not room:
        with pytest.raises(Overloaded if alive else NoWorker):
            choose_worker(snapshot, adapter, base, excluded, local, rng)
        return
    picked = choose_worker(snapshot, adapter, base, excluded, local, rng)
    assert picked in room
    if available and adapter == ADAPTER:
        cool = [
            w
            for w in room
            if adapter in w.resident_adapters
            and (w.active_spans + local.get(w.worker_id, 0)) / w.max_spans < 0.75
        ]
        assert not cool or picked in cool
