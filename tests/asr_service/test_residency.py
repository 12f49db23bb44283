"""Which adapters are in a slot, and for how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from asr_service.host_memory import HostMemory
from asr_service.residency import AdapterCache
from common.errors import AdapterNotFound, AdapterRefused
from tests.asr_service.fakes import FakeSlots, FakeStore


class Cache:
    """Two slots, and counters of what happened to them."""

    def __init__(self, n_slot: int, host_bytes: int = 2**20) -> None:
        self.store = FakeStore()
        self.slots = FakeSlots(n_slot)
        self.n_changed = 0
        self.cache = AdapterCache(self.store, HostMemory(host_bytes), self.slots, self._changed)

    def _changed(self) -> None:
        self.n_changed += 1

    async def touch(self, *keys: str) -> None:
        for key in keys:
            async with self.cache.hold(key) as resident:
                assert resident.card.key == key

    async def holding(self, key: str) -> asyncio.Event:
        """Hold `key` until the event is set."""
        release = asyncio.Event()
        held = asyncio.Event()

        async def hold() -> None:
            async with self.cache.hold(key):
                held.set()
                await release.wait()

        self._task = asyncio.create_task(hold())
        await held.wait()
        return release


@pytest.fixture
async def two() -> AsyncIterator[Cache]:
    made = Cache(2)
    yield made
    await made.cache.close()


@pytest.fixture
async def one() -> AsyncIterator[Cache]:
    made = Cache(1)
    yield made
    await made.cache.close()


async def settle() -> None:
    """Let everything that can happen without the loader's thread happen."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_least_recently_used_leaves(two: Cache) -> None:
    await two.touch("a@1", "b@1", "a@1")
    assert two.cache.residents == ("a@1", "b@1")
    await two.touch("c@1")
    assert two.cache.residents == ("c@1", "a@1")
    await two.touch("a@1", "b@1")
    assert two.cache.residents == ("b@1", "a@1")
    assert two.store.loads == ["a@1", "b@1", "c@1"]  # b came back from host memory
    assert len(two.slots.writes) == 4


async def test_host_memory_is_bounded_too() -> None:
    small = Cache(1, host_bytes=40)  # two of 16 bytes
    await small.touch("a@1", "b@1", "a@1", "c@1", "a@1", "b@1")
    assert small.store.loads == ["a@1", "b@1", "c@1", "b@1"]
    await small.cache.close()


async def test_hits_and_misses(two: Cache) -> None:
    await two.touch("a@1", "a@1", "b@1", "a@1")
    assert (two.cache.hits, two.cache.misses) == (2, 2)
    assert two.n_changed == 2
    await two.touch("c@1")
    assert two.n_changed == 4  # one left, one came


async def test_each_has_a_slot_of_its_own_and_none_is_slot_0(two: Cache) -> None:
    async with two.cache.hold("a@1") as a, two.cache.hold("b@1") as b:
        assert {a.slot, b.slot} == {1, 2}
    await two.touch("c@1", "d@1", "e@1")
    assert set(two.slots.writes) == {1, 2}


async def test_a_pinned_adapter_never_leaves(two: Cache) -> None:
    async with two.cache.hold("a@1") as held:
        await two.touch("b@1", "c@1", "d@1", "e@1")
        assert "a@1" in two.cache.residents
        assert two.slots.writes.count(held.slot) == 1
    await two.touch("b@1", "c@1")
    assert "a@1" not in two.cache.residents


async def test_pins_are_counted(two: Cache) -> None:
    async with two.cache.hold("a@1"):
        await two.touch("a@1")  # a second holder comes and goes
        await two.touch("b@1", "c@1", "d@1")
        assert "a@1" in two.cache.residents


async def test_one_load_serves_all_who_wait(two: Cache) -> None:
    gate = threading.Event()
    two.store.on_load = lambda key: gate.wait(10)
    waiting = [asyncio.create_task(two.touch("a@1")) for _ in range(5)]
    await settle()
    gate.set()
    await asyncio.gather(*waiting)
    assert two.store.loads == ["a@1"]
    assert (two.cache.hits, two.cache.misses) == (0, 5)


async def test_when_all_are_pinned_the_next_waits(one: Cache) -> None:
    release = await one.holding("a@1")
    waiting = asyncio.create_task(one.touch("b@1"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert one.cache.residents == ("a@1",)
    release.set()
    await asyncio.wait_for(waiting, 5)
    assert one.cache.residents == ("b@1",)


async def test_loading_stalls_nobody_who_has_a_slot(two: Cache) -> None:
    await two.touch("a@1")
    gate = threading.Event()
    two.store.on_load = lambda key: gate.wait(10)
    waiting = asyncio.create_task(two.touch("b@1"))
    await settle()
    await asyncio.wait_for(two.touch("a@1"), 1)
    gate.set()
    await waiting


async def test_a_failed_load_is_told_to_all_who_wait(one: Cache) -> None:
    def fail(key: str) -> None:
        raise AdapterNotFound(f"no adapter {key}")

    one.store.on_load = fail
    found = await asyncio.gather(one.touch("a@1"), one.touch("a@1"), return_exceptions=True)
    assert [type(error) for error in found] == [AdapterNotFound, AdapterNotFound]
    assert not one.cache.residents
    one.store.on_load = lambda key: None
    await one.touch("a@1")  # tried again, into the same slot
    assert one.cache.residents == ("a@1",)


async def test_a_failed_write_leaves_the_slot_free(one: Cache) -> None:
    def fail(slot: int) -> None:
        raise AdapterRefused("too wide")

    one.slots.on_write = fail
    for _ in range(3):
        with pytest.raises(AdapterRefused):
            await one.touch("a@1")
    one.slots.on_write = lambda slot: None
    await asyncio.wait_for(one.touch("b@1"), 5)
    assert one.cache.residents == ("b@1",)


async def test_a_waiter_that_gives_up_harms_no_other(one: Cache) -> None:
    gate = threading.Event()
    one.store.on_load = lambda key: gate.wait(10)
    first, second = (asyncio.create_task(one.touch("a@1")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    gate.set()
    await asyncio.wait_for(second, 5)
    assert one.store.loads == ["a@1"]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_slot_whose_caller_left_goes_to_who_waits_for_one(one: Cache, fails: bool) -> None:
    """`a` is being written when its only caller leaves; `b` is loaded and waits for a slot."""
    writing, written = threading.Event(), threading.Event()

    def write(slot: int) -> None:
        one.slots.on_write = lambda slot: None
        writing.set()
        written.wait(10)
        if fails:
            raise AdapterRefused("too wide")

    one.slots.on_write = write
    gone = asyncio.create_task(one.touch("a@1"))
    await asyncio.to_thread(writing.wait, 5)
    waiting = asyncio.create_task(one.touch("b@1"))
    await settle()
    gone.cancel()
    await settle()
    written.set()
    await asyncio.wait_for(waiting, 5)
    assert one.store.loads == ["a@1", "b@1"]
    assert one.cache.residents == ("b@1",)


async def test_many_callers_of_many_adapters(two: Cache) -> None:
    async def use(number: int) -> None:
        async with two.cache.hold(f"{number % 5}@1") as resident:
            await asyncio.sleep(0)
            assert resident.card.key == f"{number % 5}@1"
            assert resident.card.key in two.cache.residents
            assert len(two.cache.residents) <= 2

    await asyncio.wait_for(asyncio.gather(*(use(number) for number in range(50))), 20)
    assert two.cache.hits + two.cache.misses == 50


async def test_closing_cancels_what_waits_for_a_slot(one: Cache) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(one.cache.hold("a@1"))
        waiting = asyncio.create_task(one.touch("b@1"))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(one.cache.close(), 5)
        with pytest.raises(asyncio.CancelledError):
            await waiting
