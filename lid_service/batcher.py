"""Windows of many callers become batches; one thread owns the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import structlog

from common.audio import Samples
from common.errors import Overloaded

_log = structlog.get_logger()

Posteriors = npt.NDArray[np.float32]
"""float32 `[n_language]`, summing to 1."""


@dataclass(frozen=True, eq=False)
class _Window:
    samples: Samples
    answer: asyncio.Future[Posteriors] = field(repr=False)


class Batcher:
    """Takes what waits when the model is free: no timer, so a lone caller never waits."""

    def __init__(
        self,
        identify: Callable[[Sequence[Samples]], Sequence[Posteriors]],
        max_rows: int,
        max_waiting: int,
    ) -> None:
        """Run `identify` on batches of up to `max_rows`; refuse beyond `max_waiting`."""
        self._identify = identify
        self._max_rows = max_rows
        self._waiting: asyncio.Queue[_Window] = asyncio.Queue(max_waiting)
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lid")

    async def identify(self, samples: Samples) -> Posteriors:
        """Posterior of one window over all languages.

        Raises:
            Overloaded: too many windows wait, or the service is shutting down.
        """
        if self._closed:
            raise Overloaded("the service is shutting down")
        window = _Window(samples, asyncio.get_running_loop().create_future())
        try:
            self._waiting.put_nowait(window)
        except asyncio.QueueFull as error:
            raise Overloaded(
                f"{self._waiting.maxsize} windows wait to be identified: try again later"
            ) from error
        return await window.answer

    async def run(self) -> None:
        """Serve until cancelled; what is left then fails with Overloaded."""
        batch: list[_Window] = []
        try:
            while True:
                batch = [await self._waiting.get()]
                while len(batch) < self._max_rows and not self._waiting.empty():
                    batch.append(self._waiting.get_nowait())
                batch = [window for window in batch if not window.answer.done()]
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

    async def _answer(self, batch: list[_Window]) -> None:
        loop = asyncio.get_running_loop()
        samples = [window.samples for window in batch]
        try:
            rows = await loop.run_in_executor(self._thread, self._identify, samples)
        except Exception as error:
            _log.exception("batch failed", rows=len(batch))
            for window in batch:
                if not window.answer.done():
                    window.answer.set_exception(error)
            return
        for window, row in zip(batch, rows, strict=True):
            if not window.answer.done():
                window.answer.set_result(row)
