"""Windows of many callers become batches; one thread owns the model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import structlog

from common.audio import Samples
from common.errors import DeadlinePassed, Overloaded
from lid_service.metrics import LidMetrics

_log = structlog.get_logger()

Posteriors = npt.NDArray[np.float32]
"""float32 `[n_language + 1]`, summing to 1; the last is the background."""


@dataclass(frozen=True, eq=False)
class _Window:
    samples: Samples
    arrived: float
    deadline: float
    answer: asyncio.Future[Posteriors] = field(repr=False)


class Batcher:
    """Takes what waits when the model is free: no timer, so a lone caller never waits."""

    def __init__(
        self,
        identify: Callable[[Sequence[Samples]], Sequence[Posteriors]],
        metrics: LidMetrics,
        max_rows: int,
        max_waiting: int,
    ) -> None:
        """Run `identify` on batches of up to `max_rows`; refuse beyond `max_waiting`."""
        self._identify = identify
        self._metrics = metrics
        self._max_rows = max_rows
        self._waiting: asyncio.Queue[_Window] = asyncio.Queue(max_waiting)
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lid")

    async def identify(self, samples: Samples, deadline: float = math.inf) -> Posteriors:
        """Posterior of one window over all languages and the background.

        Args:
            samples: the window.
            deadline: the event loop's time from which nobody wants the answer.

        Raises:
            Overloaded: too many windows wait, or the service is shutting down.
            DeadlinePassed: before the window's turn came.
        """
        if self._closed:
            raise Overloaded("the service is shutting down")
        loop = asyncio.get_running_loop()
        window = _Window(samples, loop.time(), deadline, loop.create_future())
        try:
            self._waiting.put_nowait(window)
        except asyncio.QueueFull as error:
            self._metrics.dropped.labels("overloaded").inc()
            raise Overloaded(
                f"{self._waiting.maxsize} windows wait to be identified: try again later"
            ) from error
        return await window.answer

    async def run(self) -> None:
        """Serve until cancelled; what is left then fails with Overloaded."""
        batch: list[_Window] = []
        try:
            while True:
                batch = self._wanted(await self._waiting.get())
                while len(batch) < self._max_rows and not self._waiting.empty():
                    batch += self._wanted(self._waiting.get_nowait())
                if batch:
                    await self._answer(batch)
        finally:
            self._closed = True
            while not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            for window in batch:
                if not window.answer.done():
                    window.answer.set_exception(Overloaded("the service is shutting down"))
            self._thread.shutdown(wait=False)  # a batch in the model would hold up the loop

    def _wanted(self, window: _Window) -> list[_Window]:
        """The window, unless nobody waits for it any more."""
        if window.answer.done():
            self._metrics.dropped.labels("gone").inc()
            return []
        if asyncio.get_running_loop().time() >= window.deadline:
            self._metrics.dropped.labels("deadline").inc()
            window.answer.set_exception(
                DeadlinePassed("the call's deadline passed while the window waited for the model")
            )
            return []
        return [window]

    async def _answer(self, batch: list[_Window]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        samples = [window.samples for window in batch]
        self._metrics.batch_windows.observe(len(batch))
        for window in batch:
            self._metrics.queue_seconds.observe(begun - window.arrived)
        try:
            rows = await loop.run_in_executor(self._thread, self._identify, samples)
        except Exception as error:
            _log.exception("batch failed", rows=len(batch))
            self._metrics.dropped.labels("failed").inc(len(batch))
            for window in batch:
                if not window.answer.done():
                    window.answer.set_exception(error)
            return
        self._metrics.compute_seconds.observe(loop.time() - begun)
        for window, row in zip(batch, rows, strict=True):
            if not window.answer.done():
                window.answer.set_result(row)
