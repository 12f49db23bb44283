"""One span of speech in a worker: audio comes in, hypotheses go out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from asr_service.engine import Engine
from asr_service.jobs import Audio, Excerpt, WorkerHypothesis
from asr_service.residency import Resident
from asr_service.window import PartialTranscript
from common.errors import InvalidRequest, LimitExceeded
from speech.features import SAMPLE_RATE_HZ

# Below this there is nothing to hear, and features need a window's worth.
_MIN_SAMPLES = SAMPLE_RATE_HZ // 20
_SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000
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


# Ends with None, or with the error that ended the span.
_Answers: TypeAlias = "asyncio.Queue[Answer | Exception | None]"


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
        boosted_phrases: tuple[str, ...] = (),
    ) -> None:
        """`partial_interval_s` of new audio asks for a partial; None for finals alone.

        Finals are more willing to hear `boosted_phrases` than other words.
        """
        self._span_id = span_id
        self._language = language
        self._resident = resident
        self._engine = engine
        self._partial_interval_s = partial_interval_s
        self._max_samples = max_samples
        self._boosted_phrases = boosted_phrases
        self._audio: Audio = np.empty(0, np.float32)  # the first `_n_samples` of it are the span
        self._n_samples = 0
        self._partial = PartialTranscript()
        self._draft = (0, "")  # where the last window began, and its text
        self._heard = ""  # all that partials have heard: what the final may begin with
        self._arrived = asyncio.Event()
        self._answered = asyncio.Event()  # no final is under way
        self._answered.set()

    async def run(self, requests: AsyncIterator[Audio | Finalize]) -> AsyncGenerator[Answer, None]:
        """Answer `requests` until they end; what is still under way when cancelled is dropped.

        A finalize replaces an older one that is not answered yet: that pause was no end.

        Raises:
            LimitExceeded: more audio than the encoder can take.
            InvalidRequest: a finalize of audio that was not sent.
        """
        answers: _Answers = asyncio.Queue(maxsize=8)
        reader = asyncio.create_task(self._read(requests, answers))
        try:
            while (answer := await answers.get()) is not None:
                if isinstance(answer, Exception):
                    raise answer
                yield answer
        finally:
            reader.cancel()
            while not answers.empty():  # nobody reads them now, and the reader may wait for room
                answers.get_nowait()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[Audio | Finalize], answers: _Answers) -> None:
        end: Exception | None = None
        decoding = asyncio.create_task(self._decode(None, answers))
        try:
            try:
                async for request in requests:
                    if isinstance(request, Finalize):
                        self._check(request)
                        await _cancelled(decoding)
                        self._answered.clear()
                        decoding = asyncio.create_task(self._decode(request, answers))
                    else:
                        self._append(request)
            except Exception as error:
                end = error
            await self._answered.wait()  # also before an error: what was asked for is answered
        finally:
            await _cancelled(decoding)
        await answers.put(end)

    def _check(self, finalize: Finalize) -> None:
        if not 0 <= finalize.n_samples <= self._n_samples:
            raise InvalidRequest(
                f"finalize.sample_count is {finalize.n_samples}: span {self._span_id} "
                f"holds {self._n_samples} samples"
            )

    async def _decode(self, finalize: Finalize | None, answers: _Answers) -> None:
        """Answer `finalize`, then go on with partials of what follows it."""
        if finalize is not None:
            try:
                hypothesis = await self._final(finalize.n_samples)
            except Exception as error:
                await answers.put(error)
                return
            await answers.put(Answer(finalize.sequence, hypothesis))
            self._answered.set()
        if self._partial_interval_s is not None:
            await self._partials(
                answers, finalize.n_samples if finalize else 0, self._partial_interval_s
            )

    async def _partials(self, answers: _Answers, covered: int, interval_s: float) -> None:
        """Decode whenever there is enough audio beyond the `covered` samples already answered."""
        wait_s = interval_s
        while True:
            while self._n_samples - covered < wait_s * SAMPLE_RATE_HZ:
                self._arrived.clear()
                await self._arrived.wait()
            covered = self._n_samples
            try:
                hypothesis = await self._engine.recognize(
                    self._span_id, self._window, self._language, self._resident, final=False
                )
            except Exception:  # logged by the engine; perhaps for another row of the batch
                continue
            covered = hypothesis.audio_ms * _SAMPLES_PER_MS
            await answers.put(Answer(None, self._joined(hypothesis)))
            took_s = (hypothesis.queue_ms + hypothesis.compute_ms) / 1000
            wait_s = max(interval_s, took_s / _PARTIAL_DUTY)

    def _window(self) -> Excerpt:
        """What a partial hears that is decoded now."""
        n_ms = self._n_samples // _SAMPLES_PER_MS
        start_ms, end_ms = self._partial.window(n_ms)
        end = self._n_samples if end_ms == n_ms else end_ms * _SAMPLES_PER_MS
        drafted_ms, draft = self._draft
        return Excerpt(
            self._excerpt(start_ms * _SAMPLES_PER_MS, end),
            start_ms,
            draft if start_ms == drafted_ms else "",
        )

    def _joined(self, hypothesis: WorkerHypothesis) -> WorkerHypothesis:
        """A window's words behind those of the windows before."""
        start_ms, _ = self._partial.window(hypothesis.audio_ms)
        self._draft = (start_ms, hypothesis.text)
        self._heard = hypothesis.text
        self._partial = self._partial.extended(hypothesis.words, hypothesis.audio_ms)
        words = self._partial.words
        if words == hypothesis.words:
            return hypothesis
        heard = [word.text for word in hypothesis.words]
        unspaced = len(heard) > 1 and hypothesis.text == "".join(heard)
        self._heard = ("" if unspaced else " ").join(word.text for word in words)
        return replace(hypothesis, text=self._heard, words=words)

    async def _final(self, n_samples: int) -> WorkerHypothesis:
        whole = Excerpt(self._excerpt(0, n_samples), draft=self._heard)
        return await self._engine.recognize(
            self._span_id,
            lambda: whole,
            self._language,
            self._resident,
            final=True,
            boosted_phrases=self._boosted_phrases,
        )

    def _excerpt(self, start: int, end: int) -> Audio:
        audio = self._audio[start:end]
        if len(audio) < _MIN_SAMPLES:
            audio = np.pad(audio, (0, _MIN_SAMPLES - len(audio)))
        return audio

    def _append(self, samples: Audio) -> None:
        begin, self._n_samples = self._n_samples, self._n_samples + len(samples)
        if self._n_samples > self._max_samples:
            raise LimitExceeded(
                f"span {self._span_id} is longer than {self._max_samples * 1000 // SAMPLE_RATE_HZ}"
                " ms: cut it sooner"
            )
        if self._n_samples > len(self._audio):
            # What was cut from the old array goes on to hold it; nothing is written twice.
            grown = np.empty(2 * self._n_samples, np.float32)
            grown[:begin] = self._audio[:begin]
            self._audio = grown
        self._audio[begin : self._n_samples] = samples
        self._arrived.set()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
