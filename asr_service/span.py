"""One span of speech in a worker: audio comes in, hypotheses go out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import numpy as np

from asr_service.engine import Engine
from asr_service.jobs import Audio, WorkerHypothesis
from asr_service.residency import Resident
from common.errors import InvalidRequest, LimitExceeded
from speech.features import SAMPLE_RATE_HZ

# Below this there is nothing to hear, and features need a window's worth.
_MIN_SAMPLES = SAMPLE_RATE_HZ // 20
# A span takes at most this share of one worker's time for its partials.
_PARTIAL_DUTY = 1 / 3


@dataclass(frozen=True)
class Finalize:
    """The first `n_samples` of the span are to be decoded for good; `sequence` is echoed."""

    sequence: int
    n_samples: int


@dataclass(frozen=True)
class Answer:
    """A hypothesis; `sequence` is that of the finalize it answers, None for a partial."""

    sequence: int | None
    hypothesis: WorkerHypothesis


class Span:
    """Buffers a span's audio and keeps at most one partial and one final under way."""

    def __init__(
        self,
        span_id: str,
        language: str,
        resident: Resident | None,
        engine: Engine,
        *,
        partial_interval_s: float | None,
        max_samples: int,
    ) -> None:
        """`partial_interval_s` of new audio asks for a partial; None for finals alone."""
        self._span_id = span_id
        self._language = language
        self._resident = resident
        self._engine = engine
        self._partial_interval_s = partial_interval_s
        self._max_samples = max_samples
        self._chunks: list[Audio] = []
        self._n_samples = 0
        self._arrived = asyncio.Event()

    async def run(self, requests: AsyncIterator[Audio | Finalize]) -> AsyncGenerator[Answer, None]:
        """Answer `requests` until they end; what is still under way when cancelled is dropped.

        Raises:
            LimitExceeded: more audio than the encoder can take.
            InvalidRequest: a finalize of audio that was not sent.
        """
        answers: asyncio.Queue[Answer | None] = asyncio.Queue(maxsize=8)
        reader = asyncio.create_task(self._read(requests, answers))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
            await reader
        finally:
            reader.cancel()
            while not answers.empty():  # nobody reads them now, and the reader may wait for room
                answers.get_nowait()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(
        self, requests: AsyncIterator[Audio | Finalize], answers: asyncio.Queue[Answer | None]
    ) -> None:
        partials = asyncio.create_task(self._partials(answers, covered=0))
        try:
            async for request in requests:
                if isinstance(request, Finalize):
                    if not 0 <= request.n_samples <= self._n_samples:
                        raise InvalidRequest(
                            f"finalize.sample_count is {request.n_samples}: span {self._span_id} "
                            f"holds {self._n_samples} samples"
                        )
                    partials.cancel()
                    hypothesis = await self._decode(request.n_samples, final=True)
                    await answers.put(Answer(request.sequence, hypothesis))
                    partials = asyncio.create_task(self._partials(answers, request.n_samples))
                else:
                    self._append(request)
        finally:
            partials.cancel()
            await asyncio.gather(partials, return_exceptions=True)
            await answers.put(None)

    async def _partials(self, answers: asyncio.Queue[Answer | None], covered: int) -> None:
        """Decode whenever there is enough audio beyond the `covered` samples already answered."""
        if self._partial_interval_s is None:
            return
        wait_s = self._partial_interval_s
        while True:
            while self._n_samples - covered < wait_s * SAMPLE_RATE_HZ:
                self._arrived.clear()
                await self._arrived.wait()
            covered = self._n_samples
            try:
                hypothesis = await self._decode(covered, final=False)
            except Exception:  # logged by the engine; perhaps for another row of the batch
                continue
            await answers.put(Answer(None, hypothesis))
            took_s = (hypothesis.queue_ms + hypothesis.compute_ms) / 1000
            wait_s = max(self._partial_interval_s, took_s / _PARTIAL_DUTY)

    async def _decode(self, n_samples: int, *, final: bool) -> WorkerHypothesis:
        self._chunks = [np.concatenate(self._chunks)] if self._chunks else []
        audio = self._chunks[0][:n_samples] if self._chunks else np.zeros(0, np.float32)
        if len(audio) < _MIN_SAMPLES:
            audio = np.pad(audio, (0, _MIN_SAMPLES - len(audio)))
        return await self._engine.recognize(
            self._span_id, audio, self._language, self._resident, final=final
        )

    def _append(self, samples: Audio) -> None:
        self._n_samples += len(samples)
        if self._n_samples > self._max_samples:
            raise LimitExceeded(
                f"span {self._span_id} is longer than {self._max_samples * 1000 // SAMPLE_RATE_HZ}"
                " ms: cut it sooner"
            )
        self._chunks.append(samples)
        self._arrived.set()
