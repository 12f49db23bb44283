"""The worker's life: take a batch, encode it once, decode each row, answer.

One coroutine owns the model, which runs on a thread of its own; nothing else touches it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import structlog

from asr_service.jobs import Excerpt, Job, WorkerHypothesis
from asr_service.lane import UniversalLane, Utterance
from asr_service.load import Admission, Pace, PartialShare
from asr_service.model import CtcRow, Heard, WorkerModel, ctc_result
from asr_service.residency import Resident
from asr_service.schedule import Schedule
from common.errors import Overloaded
from speech.ctc.paths import TimedWord
from speech.features import SAMPLE_RATE_HZ
from speech.whisper.universal import UniversalDecoding

# Rows that were encoded and are not decoded yet: no more than this many full batches.
_MAX_BATCHES_BEHIND = 2
# Partials whose share is used up are looked at again no sooner.
_LEAST_PAUSE_S = 0.001
# Of a final's time; a beam search that has not ended by then does not go on.
_SEARCH_SHARE = 0.5
_T = TypeVar("_T")
_log = structlog.get_logger()


class Engine:
    """Submits jobs to the model and resolves every one of them."""

    def __init__(
        self,
        model: WorkerModel,
        schedule: Schedule,
        lane: UniversalLane,
        partials: PartialShare,
        admission: Admission,
    ) -> None:
        """Run `model`, fed by `schedule`; `admission` is told how long finals had to wait."""
        self._model = model
        self._schedule = schedule
        self._lane = lane
        self._partials = partials
        self._admission = admission
        self._pace = Pace()
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        # The lexicon's search is beside the model, so that the next batch need not wait for it.
        self._decoders = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._work = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False

    async def recognize(
        self,
        span_id: str,
        newest: Callable[[], Excerpt],
        language: str,
        resident: Resident | None,
        *,
        final: bool,
        boosted_phrases: tuple[str, ...] = (),
    ) -> WorkerHypothesis:
        """Decode what `newest` says when its turn comes; cancelling the call frees its place.

        Raises:
            Overloaded: too much waits already, or the worker is shutting down.
        """
        if self._closed:
            raise Overloaded("the worker is shutting down")
        loop = asyncio.get_running_loop()
        now = loop.time()
        job = Job(
            span_id=span_id,
            newest=newest,
            excerpt=newest(),
            language=language,
            resident=resident,
            final=final,
            submitted=now,
            deadline=now + self._schedule.limits.final_deadline_s if final else now,
            boosted_phrases=boosted_phrases if final else (),
            answer=loop.create_future(),
        )
        self._schedule.add(job)
        self._admission.idle = False
        self._work.set()
        try:
            return await job.answer
        finally:
            self._schedule.discard(job.answer)

    async def run(self) -> None:
        """Serve until cancelled; then every job that is left fails with Overloaded."""
        try:
            while True:
                if batch := self._take():
                    await self._encode(batch)
                if self._lane:
                    # One token at a time: a batch of the fast path waits for a single step.
                    await self._advance_lane()
                elif not batch:
                    await self._more_work()
        finally:
            self._closed = True
            self._fail(
                (*self._schedule.clear(), *self._lane.clear()),
                Overloaded("the worker is shutting down"),
            )
            await asyncio.gather(*self._answering, return_exceptions=True)
            # Not waited for: a batch still in the model would hold up the event loop.
            self._model_thread.shutdown(wait=False)
            self._decoders.shutdown(wait=False)

    def _take(self) -> tuple[Job, ...]:
        self._lane.drop_answered()
        if self._is_behind:
            return ()
        batch = self._schedule.take(
            self._pace.seconds_per_frame,
            self._lane.room,
            # Between two tokens of a final a batch with finals has its turn, one of partials not.
            partials=not self._lane.has_final and not self._partials.wait_s,
        )
        now = asyncio.get_running_loop().time()
        for job in batch:
            if job.final:
                self._admission.waited(now - job.submitted)
        return batch

    @property
    def _is_behind(self) -> bool:
        """Whether so much is encoded and not decoded yet that no more should be."""
        return len(self._answering) > _MAX_BATCHES_BEHIND * self._schedule.limits.max_rows

    async def _more_work(self) -> None:
        self._admission.idle = not self._schedule
        self._work.clear()
        waits_for_share = self._schedule and not self._is_behind
        with suppress(TimeoutError):
            async with asyncio.timeout(
                max(_LEAST_PAUSE_S, self._partials.wait_s) if waits_for_share else None
            ):
                await self._work.wait()

    async def _encode(self, batch: tuple[Job, ...]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            rows = await self._on(self._model_thread, lambda: self._model.encode(batch))
        except Exception as error:
            _log.exception("batch failed", rows=len(batch))
            self._fail(batch, error)
            return
        except asyncio.CancelledError:
            self._fail(batch, Overloaded("the worker is shutting down"))
            raise
        took_s = loop.time() - started
        self._pace.observe(len(batch) * max(job.n_frames for job in batch), took_s)
        if not any(job.final for job in batch):
            self._partials.spent(took_s)
        for job, row in zip(batch, rows, strict=True):
            if isinstance(row, UniversalDecoding):
                self._lane.add(Utterance(job, row, started))
            else:
                task = asyncio.create_task(self._answer_ctc(job, row, started))
                self._answering.add(task)
                task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        self._work.set()  # perhaps there was no room for another batch

    async def _answer_ctc(self, job: Job, row: CtcRow, started: float) -> None:
        try:
            if row.log_probs is not None and job.resident and job.resident.lexicon:
                # It may still be under construction, and no decoder thread waits for that.
                await asyncio.shield(asyncio.wrap_future(job.resident.lexicon))
            heard = await self._on(self._decoders, lambda: ctc_result(job, row))
        except Exception as error:
            _log.exception("decoding failed", adapter=job.resident and job.resident.card.key)
            self._fail([job], error)
        else:
            self._answer(job, heard, started)

    async def _advance_lane(self) -> None:
        """One token for all, or the result of one that needs no more: it costs about as much."""
        if (finished := self._lane.finished) is not None:
            await self._answer_universal(finished)
            return
        active = self._lane.active
        began = asyncio.get_running_loop().time()
        for utterance in active:
            if utterance.job.final and began > utterance.job.due(_SEARCH_SHARE):
                utterance.decoding.hurry()
        try:
            await self._on(
                self._model_thread,
                lambda: self._model.step([utterance.decoding for utterance in active]),
            )
            if not self._lane.has_final:
                self._partials.spent(asyncio.get_running_loop().time() - began)
        except Exception as error:
            _log.exception("universal decoding failed", rows=len(active))
            self._fail((utterance.job for utterance in active), error)

    async def _answer_universal(self, finished: Utterance) -> None:
        job = finished.job
        try:
            heard = await self._on(
                self._model_thread, lambda: self._model.universal_result(finished.decoding)
            )
        except Exception as error:
            _log.exception("universal result failed", language=job.language)
            self._fail([job], error)
        else:
            self._answer(job, heard, finished.started)

    @staticmethod
    def _answer(job: Job, heard: Heard, started: float) -> None:
        if job.answer.done():
            return
        start_ms = job.excerpt.start_ms
        job.answer.set_result(
            WorkerHypothesis(
                text=heard.text,
                words=tuple(_later(word, start_ms) for word in heard.words),
                confidence=heard.confidence,
                audio_ms=start_ms + len(job.audio) * 1000 // SAMPLE_RATE_HZ,
                queue_ms=(started - job.submitted) * 1000,
                compute_ms=(asyncio.get_running_loop().time() - started) * 1000,
            )
        )

    @staticmethod
    def _fail(jobs: Iterable[Job], error: BaseException) -> None:
        for job in jobs:
            if not job.answer.done():
                job.answer.set_exception(error)

    @staticmethod
    async def _on(executor: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)


def _later(word: TimedWord, ms: int) -> TimedWord:
    return replace(word, start_ms=word.start_ms + ms, end_ms=word.end_ms + ms)
