"""What passes between the worker's stages, as values."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from asr_service.residency import Resident
from speech.ctc import TimedWord

Audio = npt.NDArray[np.float32]
"""float32 `[n_samples]`, 16 kHz mono."""


@dataclass(frozen=True)
class WorkerHypothesis:
    """What was heard in a span.

    Attributes:
        text, words: the words, times in ms from the span's first sample.
        confidence: 0 to 1.
        audio_ms: how much of the span it covers.
        queue_ms: from submission to the start of its batch.
        compute_ms: from the start of its batch to the answer.
    """

    text: str
    words: tuple[TimedWord, ...]
    confidence: float
    audio_ms: int
    queue_ms: float
    compute_ms: float


@dataclass(frozen=True, eq=False)
class Job:
    """One decode of one span's audio so far.

    Attributes:
        span_id: names the span in logs.
        audio: all of the span's audio.
        language: BCP-47 tag; the universal decoder is told it.
        resident: the adapter, pinned in its slot by the caller; None for the universal path.
        final: finals go first.
        submitted: seconds on the event loop's clock.
        deadline: when the answer is due, on the same clock.
        answer: resolved with the hypothesis, failed, or cancelled; always one of them.
    """

    span_id: str
    audio: Audio
    language: str
    resident: Resident | None
    final: bool
    submitted: float
    deadline: float
    answer: asyncio.Future[WorkerHypothesis] = field(repr=False)
