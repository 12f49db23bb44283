"""Steps 8 and 9: the model and all that runs on its thread. Synchronous; one owner at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from asr_service.jobs import Job
from common.errors import UnknownLanguage
from speech.adapters.slots import NO_ADAPTER, AdapterSlots
from speech.base_model import BaseModel, WhisperBase
from speech.calibration import calibrated, share_right, universal_calibration
from speech.ctc.paths import Path, TimedWord, greedy_batch, text_of, timed_words
from speech.precision import Placement
from speech.whisper.universal import UniversalDecoding, UniversalRecognizer, padded


@dataclass(frozen=True)
class Heard:
    """Text, words and confidence of one job."""

    text: str
    words: tuple[TimedWord, ...]
    confidence: float


@dataclass(frozen=True)
class CtcRow:
    """What a row's head says: its best path, and for a final with a lexicon all posteriors."""

    path: Path
    log_probs: torch.Tensor | None


class WorkerModel:
    """The shared encoder, the slots, and the universal decoder where the base model has one."""

    def __init__(
        self, base: BaseModel, slots: AdapterSlots, placement: Placement, beam_size: int
    ) -> None:
        """Take over `base`'s weights and move them to `placement`, that of `slots`."""
        self._encoder = base.encoder.to(placement.device, placement.dtype)
        self._universal: UniversalRecognizer | None = None
        self._calibration = universal_calibration(base.fingerprint)
        if isinstance(base, WhisperBase):
            whisper: torch.nn.Module = base.whisper
            whisper.to(placement.device, placement.dtype)
            self._universal = UniversalRecognizer(base)
        self._slots = slots
        self._beam_size = beam_size

    @property
    def languages(self) -> Collection[str]:
        """BCP-47 tags of the universal path; none where the base model has no decoder."""
        return self._universal.languages.keys() if self._universal else ()

    @property
    def max_samples(self) -> int:
        """Longest audio one job may have."""
        return self._encoder.max_samples

    @torch.inference_mode()
    def encode(self, batch: Sequence[Job]) -> list[CtcRow | UniversalDecoding]:
        """One forward for all rows, whatever their languages.

        Returns:
            per job, what its adapter's head says, or the decoding to be stepped where it has none.
        """
        audio = [torch.from_numpy(job.audio) for job in batch]
        audio = [x if job.resident else padded(x) for x, job in zip(audio, batch, strict=True)]
        adapters = self._slots.batch(
            [job.resident.slot if job.resident else NO_ADAPTER for job in batch]
        )
        encoded = self._encoder(*self._encoder.features(audio), adapters)
        log_probs = adapters.log_probs(encoded)
        paths = greedy_batch(log_probs, encoded.lengths) if log_probs.shape[-1] else []
        rows: list[CtcRow | UniversalDecoding] = []
        for row, (job, n_frames) in enumerate(zip(batch, encoded.lengths.tolist(), strict=True)):
            if job.resident is None:
                rows.append(self._decoding(job, encoded.states[row, :n_frames]))
            elif job.final and job.resident.lexicon is not None:
                own = log_probs[row, :n_frames, : len(job.resident.card.vocabulary)]
                rows.append(CtcRow(paths[row], own))
            else:
                rows.append(CtcRow(paths[row], None))
        return rows

    def _decoding(self, job: Job, states: torch.Tensor) -> UniversalDecoding:
        if self._universal is None:
            raise UnknownLanguage(
                f"this worker's base model cannot hear {job.language!r} by itself"
            )
        beam_size = self._beam_size if job.final else 1
        return self._universal.decoding(
            states,
            len(job.audio),
            job.language,
            beam_size,
            job.boosted_phrases,
            job.excerpt.draft,
        )

    @torch.inference_mode()
    def step(self, decodings: Sequence[UniversalDecoding]) -> None:
        """Extend each universal decoding by one token."""
        if self._universal is not None:
            self._universal.step(decodings)

    @torch.inference_mode()
    def universal_result(self, decoding: UniversalDecoding) -> Heard:
        """The text of a finished universal decoding."""
        found = decoding.result()
        words = calibrated(found.words, self._calibration)
        return Heard(found.text, words, share_right(words))


def ctc_result(job: Job, row: CtcRow) -> Heard:
    """The words of a row: its best path for a partial, beam search with lexicon for a final."""
    assert job.resident is not None
    vocabulary = job.resident.card.vocabulary
    path = row.path
    if row.log_probs is not None and job.resident.lexicon is not None:
        path = job.resident.lexicon.result().path(row.log_probs, job.boosted_phrases)
    words = calibrated(timed_words(path, vocabulary), job.resident.card.calibration)
    return Heard(text_of(path.symbols, vocabulary), words, share_right(words))
