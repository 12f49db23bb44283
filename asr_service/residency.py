"""Which adapters are in a slot: the least recently used leaves, one in use never does."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from asr_service.host_memory import HostMemory, read_adapter
from speech.adapters.card import AdapterCard
from speech.adapters.slots import AdapterSlots
from speech.adapters.store import AdapterStore
from speech.ctc.lexicon import LexiconDecoder

_READERS = 4


@dataclass(frozen=True)
class Resident:
    """An adapter in its slot; its lexicon may still be under construction."""

    slot: int
    card: AdapterCard
    lexicon: Future[LexiconDecoder] | None


class AdapterCache:
    """The slots of one worker, filled on demand off the event loop.

    Three tiers: the store, host memory, slots. What leaves a slot stays in host memory while there
    is room, and comes back with one copy.
    """

    def __init__(
        self,
        store: AdapterStore,
        memory: HostMemory,
        slots: AdapterSlots,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Call `changed` on the event loop when residency has changed."""
        self._store = store
        self._memory = memory
        self._slots = slots
        self._changed = changed
        # Reading may wait for a network; copying into a slot shall not wait for that.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="lexicon")
        self._residents: OrderedDict[str, Resident] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Resident]] = {}
        self._pins: dict[str, int] = {}
        self._free = list(range(slots.limits.n_slot, 0, -1))
        self._released = asyncio.Condition()
        self.hits = 0
        self.misses = 0

    @property
    def residents(self) -> tuple[str, ...]:
        """Keys of the adapters in slots, most recently used first."""
        return tuple(reversed(self._residents))

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[Resident]:
        """Pin adapter `<id>@<version>` in a slot for the duration, loading it if need be.

        Waits while every slot is pinned. Raises what `read_adapter` and `AdapterSlots.write` raise;
        a failed load leaves the slot free.
        """
        self._pins[key] = self._pins.get(key, 0) + 1
        try:
            yield await self._resident(key)
        finally:
            self._pins[key] -= 1
            if not self._pins[key]:
                del self._pins[key]
            async with self._released:
                self._released.notify_all()

    async def _resident(self, key: str) -> Resident:
        if key in self._residents:
            self.hits += 1
            self._residents.move_to_end(key)
            return self._residents[key]
        self.misses += 1
        # One load serves all who wait for it, and outlives any of them that gives up.
        if key not in self._loading:
            task = asyncio.create_task(self._load(key), name=f"load {key}")
            self._loading[key] = task
            task.add_done_callback(_retrieve)
        return await asyncio.shield(self._loading[key])

    async def _load(self, key: str) -> Resident:
        loop = asyncio.get_running_loop()
        try:
            adapter = self._memory.get(key)
            if adapter is None:
                adapter = await loop.run_in_executor(
                    self._readers, read_adapter, self._store, self._slots, self._builder, key
                )
                self._memory.put(key, adapter)
            slot = await self._claim()
            try:
                await loop.run_in_executor(
                    self._writer, self._slots.write, slot, adapter.shape, adapter.packed
                )
            except BaseException:
                self._free.append(slot)
                raise
            self._residents[key] = Resident(slot, adapter.card, adapter.lexicon)
            self._changed()
            return self._residents[key]
        finally:
            # Before anybody can evict it: who comes now finds it resident, or loads it again.
            del self._loading[key]
            # Whoever asked for it may have left: then the slot is there for who waits for one.
            async with self._released:
                self._released.notify_all()

    async def _claim(self) -> int:
        async with self._released:
            while True:
                if self._free:
                    return self._free.pop()
                for key in self._residents:
                    if key not in self._pins:
                        slot = self._residents.pop(key).slot
                        self._changed()
                        return slot
                await self._released.wait()

    async def close(self) -> None:
        """Cancel loads under way and wait for them."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for executor in (self._readers, self._writer, self._builder):
            executor.shutdown(cancel_futures=True)


def _retrieve(load: asyncio.Task[Resident]) -> None:
    """Whoever waits for a load raises its error; nobody may be left."""
    if not load.cancelled():
        load.exception()
