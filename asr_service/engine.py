"""The worker's life: take a batch, encode it once, decode each row, answer.

One coroutine owns the model, which runs on a thread of its own; nothing else touches it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from asr_service.jobs import Audio, Job, WorkerHypothesis
from asr_service.model import Heard, WorkerModel, ctc_result
from asr_service.residency import Resident
from asr_service.schedule import Schedule
from common.errors import Overloaded
from speech.ctc import LogProbs
from speech.features import SAMPLE_RATE_HZ
from speech.universal import UniversalDecoding

_T = TypeVar("_T")
_log = structlog.get_logger()


class Engine:
    """Submits jobs to the model and resolves every one of them."""

    def __init__(self, model: WorkerModel, schedule: Schedule, final_deadline_s: float) -> None:
        """Run `model`, fed by `schedule`; a final is due `final_deadline_s` after it is asked."""
        self._model = model
        self._schedule = schedule
        self._final_deadline_s = final_deadline_s
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        # The lexicon's search is beside the model, so that the next batch need not wait for it.
        self._decoders = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._work = asyncio.Event()
        self._universal: list[tuple[Job, UniversalDecoding, float]] = []
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False

    async def recognize(
        self, span_id: str, audio: Audio, language: str, resident: Resident | None, *, final: bool
    ) -> WorkerHypothesis:
        """Decode `audio`; cancelling the call takes it out of the queue.

        Raises:
            Overloaded: the worker is shutting down.
        """
        if self._closed:
            raise Overloaded("the worker is shutting down")
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline = now + self._final_deadline_s
        answer: asyncio.Future[WorkerHypothesis] = loop.create_future()
        job = Job(span_id, audio, language, resident, final, now, deadline, answer)
        self._schedule.add(job)
        self._work.set()
        return await answer

    async def run(self) -> None:
        """Serve until cancelled; then every job that is left fails with Overloaded."""
        try:
            while True:
                await self._work.wait()
                if batch := self._schedule.take():
                    await self._encode(batch)
                if self._universal:
                    # One token at a time: a batch of the fast path waits for a single step.
                    await self._step_universal()
                if not self._schedule and not self._universal:
                    self._work.clear()
        finally:
            self._closed = True
            self._fail(self._schedule.clear(), Overloaded("the worker is shutting down"))
            self._fail(
                [job for job, _, _ in self._universal], Overloaded("the worker is shutting down")
            )
            await asyncio.gather(*self._answering, return_exceptions=True)
            # Not waited for: a batch still in the model would hold up the event loop.
            self._model_thread.shutdown(wait=False)
            self._decoders.shutdown(wait=False)

    async def _encode(self, batch: tuple[Job, ...]) -> None:
        started = asyncio.get_running_loop().time()
        try:
            rows = await self._on(self._model_thread, lambda: self._model.encode(batch))
        except Exception as error:
            _log.exception("batch failed", rows=len(batch))
            self._fail(batch, error)
            return
        except asyncio.CancelledError:
            self._fail(batch, Overloaded("the worker is shutting down"))
            raise
        for job, row in zip(batch, rows, strict=True):
            if isinstance(row, UniversalDecoding):
                self._universal.append((job, row, started))
            else:
                task = asyncio.create_task(self._answer_ctc(job, row, started))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    async def _answer_ctc(self, job: Job, log_probs: LogProbs, started: float) -> None:
        try:
            heard = await self._on(self._decoders, lambda: ctc_result(job, log_probs))
        except Exception as error:
            _log.exception("decoding failed", adapter=job.resident and job.resident.card.key)
            self._fail([job], error)
        else:
            self._answer(job, heard, started)

    async def _step_universal(self) -> None:
        self._universal = [entry for entry in self._universal if not entry[0].answer.done()]
        active = [decoding for _, decoding, _ in self._universal]
        try:
            await self._on(self._model_thread, lambda: self._model.step(active))
        except Exception as error:
            _log.exception("universal decoding failed", rows=len(active))
            self._fail([job for job, _, _ in self._universal], error)
            return
        for job, decoding, started in self._universal:
            if decoding.done:
                await self._answer_universal(job, decoding, started)

    async def _answer_universal(
        self, job: Job, decoding: UniversalDecoding, started: float
    ) -> None:
        try:
            heard = await self._on(
                self._model_thread, lambda: self._model.universal_result(decoding)
            )
        except Exception as error:
            _log.exception("universal result failed", language=job.language)
            self._fail([job], error)
        else:
            self._answer(job, heard, started)

    def _answer(self, job: Job, heard: Heard, started: float) -> None:
        if job.answer.done():
            return
        job.answer.set_result(
            WorkerHypothesis(
                text=heard.text,
                words=heard.words,
                confidence=heard.confidence,
                audio_ms=len(job.audio) * 1000 // SAMPLE_RATE_HZ,
                queue_ms=(started - job.submitted) * 1000,
                compute_ms=(asyncio.get_running_loop().time() - started) * 1000,
            )
        )

    @staticmethod
    def _fail(jobs: list[Job] | tuple[Job, ...], error: BaseException) -> None:
        for job in jobs:
            if not job.answer.done():
                job.answer.set_exception(error)

    @staticmethod
    async def _on(executor: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)
