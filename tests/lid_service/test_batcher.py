"""Windows of many callers become batches."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from common.audio import Samples
from common.errors import Overloaded
from lid_service.batcher import Batcher, Posteriors
from lid_service.metrics import LidMetrics


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


def batcher_of(
    model: FakeModel, *, max_rows: int, max_waiting: int, registry: CollectorRegistry | None = None
) -> Batcher:
    return Batcher(model, LidMetrics(registry or CollectorRegistry()), max_rows, max_waiting)


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


def asked(batcher: Batcher, number: int, deadline: float = math.inf) -> asyncio.Task[Posteriors]:
    return asyncio.create_task(batcher.identify(np.array([number], dtype=np.float32), deadline))


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
    batcher = batcher_of(model, max_rows=8, max_waiting=8)
    async with running(batcher):
        assert await outcomes(asked(batcher, 5)) == [5]
    assert model.batches == [[5]]


async def test_concurrent_callers_share_batches_and_each_gets_its_own_answer() -> None:
    model = FakeModel()
    batcher = batcher_of(model, max_rows=4, max_waiting=100)
    async with running(batcher):
        first = await busy(model, batcher)
        tasks = [asked(batcher, number) for number in range(10)]
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcomes(first, *tasks) == [99, *range(10)]
    assert model.batches == [[99], [0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_a_failure_fails_its_batch_alone() -> None:
    model = FakeModel()
    batcher = batcher_of(model, max_rows=2, max_waiting=100)
    async with running(batcher):
        first = await busy(model, batcher)
        tasks = [asked(batcher, number) for number in (1, -1, 3)]
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcomes(first, *tasks) == [99, "RuntimeError", "RuntimeError", 3]
        assert await outcomes(asked(batcher, 4)) == [4]


async def test_what_waits_is_bounded() -> None:
    model = FakeModel()
    batcher = batcher_of(model, max_rows=2, max_waiting=3)
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
    batcher = batcher_of(model, max_rows=8, max_waiting=8)
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


async def test_a_deadline_that_has_passed_is_not_run() -> None:
    model = FakeModel()
    batcher = batcher_of(model, max_rows=2, max_waiting=8)
    now = asyncio.get_running_loop().time()
    async with running(batcher):
        first = await busy(model, batcher)
        # The one that is late leaves its place in the batch to the next.
        late, second, third = asked(batcher, 1, now), asked(batcher, 2, now + 60), asked(batcher, 3)
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcomes(first, late, second, third) == [99, "DeadlinePassed", 2, 3]
    assert model.batches == [[99], [2, 3]]


async def test_it_counts() -> None:
    model, registry = FakeModel(), CollectorRegistry()
    batcher = batcher_of(model, max_rows=2, max_waiting=4, registry=registry)
    async with running(batcher):
        first = await busy(model, batcher)
        gone, late = asked(batcher, 1), asked(batcher, 2, 0.0)
        tasks = [asked(batcher, number) for number in (3, 4, 5)]
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        await outcomes(first, late, *tasks)
        await outcomes(asked(batcher, -1))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"panglot_lid_{name}", labels)

    reasons = ("gone", "deadline", "overloaded", "failed")
    assert [value("dropped_windows_total", reason=reason) for reason in reasons] == [1, 1, 1, 1]
    assert value("batch_windows_count") == 3  # 99; 3 and 4; -1
    assert value("batch_windows_sum") == 4
    assert value("queue_seconds_count") == 4
    assert value("compute_seconds_count") == 2


async def test_shutdown_fails_the_rest_and_takes_no_more() -> None:
    model = FakeModel()
    batcher = batcher_of(model, max_rows=1, max_waiting=8)
    async with running(batcher) as loop:
        tasks = [await busy(model, batcher), asked(batcher, 1), asked(batcher, 2)]
        await asyncio.sleep(0)
        loop.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcomes(*tasks) == ["Overloaded"] * 3
    assert await outcomes(asked(batcher, 3)) == ["Overloaded"]
