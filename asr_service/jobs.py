"""What passes between the worker's stages, as values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from asr_service.residency import Resident
from speech.ctc.paths import TimedWord
from speech.encoder import FRAME_MS
from speech.features import SAMPLE_RATE_HZ
from speech.whisper.universal import padded_samples

_FRAME_SAMPLES = FRAME_MS * SAMPLE_RATE_HZ // 1000
Audio = npt.NDArray[np.float32]
"""float32 `[n_samples]`, 16 kHz mono."""


@dataclass(frozen=True)
class Excerpt:
    """Part of a span.

    Attributes:
        audio: float32 `[n_samples]`.
        start_ms: where it begins, from the span's first sample.
        draft: what was heard when less of it was there; the universal decoder begins with as much
            of it as it would say again.
    """

    audio: Audio
    start_ms: int = 0
    draft: str = ""


@dataclass(frozen=True)
class WorkerHypothesis:
    """What was heard in a span.

    Attributes:
        text, words: the words, times in ms from the span's first sample.
        confidence: 0 to 1.
        audio_ms: where in the span the audio ends that it covers.
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
    """One decode of a span's audio.

    Attributes:
        span_id: names the span in logs.
        newest: what is to be decoded, as of now. A partial that waits has not to be replaced by a
            newer one: it becomes the newer one when its turn comes.
        excerpt: what `newest` said last.
        language: BCP-47 tag; the universal decoder is told it.
        resident: the adapter, pinned in its slot by the caller; None for the universal path.
        final: finals go first.
        submitted: seconds on the event loop's clock.
        deadline: when a final is due, or since when a partial has been, on the same clock.
        boosted_phrases: the caller's; only finals listen to them.
        answer: resolved with the hypothesis, failed, or cancelled; always one of them.
    """

    span_id: str
    newest: Callable[[], Excerpt] = field(repr=False)
    excerpt: Excerpt
    language: str
    resident: Resident | None
    final: bool
    submitted: float
    deadline: float
    boosted_phrases: tuple[str, ...]
    answer: asyncio.Future[WorkerHypothesis] = field(repr=False)

    @property
    def audio(self) -> Audio:
        """What is to be decoded."""
        return self.excerpt.audio

    @property
    def n_frames(self) -> int:
        """Frames of 20 ms that the encoder makes of it, with the silence its path asks for."""
        n_samples = len(self.audio)
        if self.resident is None:
            n_samples = padded_samples(n_samples)
        return -(-n_samples // _FRAME_SAMPLES)

    def due(self, share: float) -> float:
        """When that share of its time will have passed, on the event loop's clock."""
        return self.submitted + share * (self.deadline - self.submitted)

    def renewed(self) -> Job:
        """The same job, with the audio that there is by now."""
        return replace(self, excerpt=self.newest())
