"""Steps 8 and 9: the model and all that runs on its thread. Synchronous; one owner at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from asr_service.jobs import Job
from speech.adapters.slots import NO_ADAPTER, BottleneckSlots
from speech.base_model import BaseModel
from speech.ctc import LogProbs, TimedWord, align, greedy, text_of, timed_words
from speech.encoder import WhisperSharedEncoder
from speech.universal import UniversalDecoding, UniversalRecognizer, padded


@dataclass(frozen=True)
class Heard:
    """Text, words and confidence of one job."""

    text: str
    words: tuple[TimedWord, ...]
    confidence: float


class WorkerModel:
    """The shared encoder, the slots, and the universal decoder."""

    def __init__(
        self, base: BaseModel, slots: BottleneckSlots, dtype: torch.dtype, beam_size: int
    ) -> None:
        """Take over `base`'s weights and cast them to `dtype`, that of `slots`."""
        base.whisper.to(dtype)  # type: ignore[arg-type]  # its stub forgets nn.Module's forms
        self._encoder = WhisperSharedEncoder(base.whisper.model.encoder)
        self._universal = UniversalRecognizer(base)
        self._slots = slots
        self._dtype = dtype
        self._beam_size = beam_size

    @property
    def languages(self) -> Collection[str]:
        """BCP-47 tags of the universal path."""
        return self._universal.languages.keys()

    @property
    def max_samples(self) -> int:
        """Longest audio one job may have."""
        return self._encoder.max_samples

    @torch.inference_mode()
    def encode(self, batch: Sequence[Job]) -> list[LogProbs | UniversalDecoding]:
        """One forward for all rows, whatever their languages.

        Returns:
            per job, CTC log-probabilities `[n_frames, n_vocab]` of its adapter, or the decoding to
            be stepped where it has none.
        """
        audio = [torch.from_numpy(job.audio) for job in batch]
        audio = [x if job.resident else padded(x) for x, job in zip(audio, batch, strict=True)]
        features, lengths = self._encoder.features(audio)
        slot_index = torch.tensor(
            [job.resident.slot if job.resident else NO_ADAPTER for job in batch]
        )
        adapters = self._slots.batch(slot_index)
        encoded = self._encoder(features.to(self._dtype), lengths, adapters)
        n_vocab = torch.tensor(
            [len(job.resident.card.vocabulary) if job.resident else 1 for job in batch]
        )
        log_probs = adapters.log_probs(encoded, n_vocab)
        rows: list[LogProbs | UniversalDecoding] = []
        for row, job in enumerate(batch):
            n_frames = int(encoded.lengths[row])
            if job.resident:
                rows.append(log_probs[row, :n_frames, : int(n_vocab[row])].numpy())
            else:
                states = encoded.states[row, :n_frames]
                beam_size = self._beam_size if job.final else 1
                rows.append(
                    self._universal.decoding(states, len(job.audio), job.language, beam_size)
                )
        return rows

    @torch.inference_mode()
    def step(self, decodings: Sequence[UniversalDecoding]) -> None:
        """Extend each universal decoding by one token."""
        for decoding in decodings:
            decoding.step()

    @torch.inference_mode()
    def universal_result(self, decoding: UniversalDecoding) -> Heard:
        """The text of a finished universal decoding."""
        found = decoding.result()
        return Heard(found.text, found.words, found.confidence)


def ctc_result(job: Job, log_probs: LogProbs) -> Heard:
    """The words in CTC log-probabilities: greedy for a partial, beam with lexicon for a final."""
    assert job.resident is not None
    vocabulary = job.resident.card.vocabulary
    path = greedy(log_probs)
    if job.final and job.resident.lexicon is not None:
        best = job.resident.lexicon.decode(log_probs)
        path = align(log_probs, best) or path
    words = timed_words(log_probs, path, vocabulary)
    confidence = float(np.mean([word.confidence for word in words])) if words else 0.0
    return Heard(text_of(path.symbols, vocabulary), words, confidence)
