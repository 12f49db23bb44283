"""Windows of many callers become batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from common.audio import Samples
from common.errors import Overloaded
from lid_service.batcher import Batcher, Posteriors


class FakeModel:
    """Answers each window with its first sample; fails at -1; waits while `gate` is closed."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[int]] = []

    def __call__(self, windows: Sequence[Samples]) -> Sequence[Posteriors]:
        self.batches.append([int(window[0]) for window in windows])
        assert self.gate.wait(10), "the test left the gate closed"
        if -1 in self.batches[-1]:
            raise RuntimeError("poison")
        return list(windows)


@asynccontextmanager
async def running(batcher: Batcher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(batcher.run())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def asked(batcher: Batcher, number: int) -> asyncio.Task[Posteriors]:
    return asyncio.create_task(batcher.identify(np.array([number], dtype=np.float32)))


async def outcomes(*tasks: asyncio.Task[Posteriors]) -> list[int | str]:
    found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    return [type(x).__name__ if isinstance(x, BaseException) else int(x[0]) for x in found]


async def busy(model: FakeModel, batcher: Batcher) -> asyncio.Task[Posteriors]:
    """Close the gate, with one window behind it."""
    model.gate.clear()
    task = asked(batcher, 99)
    async with asyncio.timeout(5):
        while not model.batches:  # noqa: ASYNC110 it is of another thread
            await asyncio.sleep(0.005)
    return task


async def test_a_lone_caller_never_waits() -> None:
    model = FakeModel()
    batcher = Batcher(model, max_rows=8, max_waiting=8)
    async with running(batcher):
        assert await outcomes(asked(batcher, 5)) == [5]
    assert model.batches == [[5]]


async def test_concurrent_callers_share_batches_and_each_gets_its_own_answer() -> None:
    model = FakeModel()
    batcher = Batcher(model, max_rows=4, max_waiting=100)
    async with running(batcher):
        first = await busy(model, batcher)
        tasks = [asked(batcher, number) for number in range(10)]
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcomes(first, *tasks) == [99, *range(10)]
    assert model.batches == [[99], [0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_a_failure_fails_its_batch_alone() -> None:
    model = FakeModel()
    batcher = Batcher(model, max_rows=2, max_waiting=100)
    async with running(batcher):
        first = await busy(model, batcher)
        tasks = [asked(batcher, number) for number in (1, -1, 3)]
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcomes(first, *tasks) == [99, "RuntimeError", "RuntimeError", 3]
        assert await outcomes(asked(batcher, 4)) == [4]


async def test_what_waits_is_bounded() -> None:
    model = FakeModel()
    batcher = Batcher(model, max_rows=2, max_waiting=3)
    async with running(batcher):
        first = await busy(model, batcher)
        tasks = [asked(batcher, number) for number in range(5)]
        await asyncio.sleep(0)
        model.gate.set()
        refused = tasks[-1]
        assert await outcomes(*tasks) == [0, 1, 2, "Overloaded", "Overloaded"]
        assert await outcomes(first, asked(batcher, 7)) == [99, 7]
        with pytest.raises(Overloaded, match="3 windows wait"):
            await refused


async def test_cancelled_windows_never_reach_the_model() -> None:
    model = FakeModel()
    batcher = Batcher(model, max_rows=8, max_waiting=8)
    async with running(batcher):
        first = await busy(model, batcher)
        second, third = asked(batcher, 1), asked(batcher, 2)
        await asyncio.sleep(0)
        second.cancel()
        first.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcomes(third) == [2]
    assert model.batches == [[99], [2]]


async def test_shutdown_fails_the_rest_and_takes_no_more() -> None:
    model = FakeModel()
    batcher = Batcher(model, max_rows=1, max_waiting=8)
    async with running(batcher) as loop:
        tasks = [await busy(model, batcher), asked(batcher, 1), asked(batcher, 2)]
        await asyncio.sleep(0)
        loop.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcomes(*tasks) == ["Overloaded"] * 3
    assert await outcomes(asked(batcher, 3)) == ["Overloaded"]
