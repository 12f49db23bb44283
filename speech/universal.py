"""Step 9, the universal path: Whisper's own decoder over the shared encoder's output.

Serves every language the base model knows and that no adapter serves better. Decoding goes step by
step, so that whoever runs it decides what happens between two steps.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speech.base_model import BaseModel
from speech.ctc import TimedWord
from speech.encoder import FRAME_MS, WhisperSharedEncoder
from speech.features import SAMPLE_RATE_HZ
from speech.languages import from_bcp47, model_languages, token_id
from speech.token_words import first_frames, word_bounds
from speech.whisper_decoder import Past, WhisperDecoderRunner

MAX_TOKENS = 220
# Without some silence behind the speech the decoder invents an end. Measured on 40 English clips,
# word error rate: true length 0.33, half a second more 0.08, one second 0.07, 6 s at least 0.03.
_MIN_SAMPLES = 6 * SAMPLE_RATE_HZ
_TAIL_SAMPLES = SAMPLE_RATE_HZ // 2
# Nobody speaks 25 tokens a second: beyond that the decoder is repeating itself.
_TOKENS_PER_SECOND = 25
# Text that compresses better than this is a loop (openai/whisper, `compression_ratio_threshold`).
_MAX_COMPRESSION = 2.4
# openai/whisper: `no_speech_threshold` and `logprob_threshold`, both must say so. Its -1 for the
# latter lets through the "you" that this model hears in digital silence, at -0.7. The first is
# above 0.7 for silence and noise, and below 0.2 for the speech in `tests/audio`.
_NO_SPEECH = 0.6
_LOW_LOG_PROB = -0.5


@dataclass(frozen=True)
class UniversalHypothesis:
    """What Whisper heard in one utterance; empty text where it heard no speech."""

    text: str
    words: tuple[TimedWord, ...]
    confidence: float


def padded(audio: Tensor) -> Tensor:
    """Audio as the decoder wants it encoded: float32 `[n_samples]` with silence behind it."""
    n_samples = max(_MIN_SAMPLES, len(audio) + _TAIL_SAMPLES)
    return F.pad(audio, (0, min(n_samples, 30 * SAMPLE_RATE_HZ) - len(audio)))


@dataclass(frozen=True)
class _Finished:
    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]

    @property
    def score(self) -> float:
        return sum(self.log_probs) / len(self.log_probs)


class UniversalRecognizer:
    """Starts decodings; one per process, shared by all utterances."""

    def __init__(self, model: BaseModel) -> None:
        """Share the model's weights."""
        self.runner = WhisperDecoderRunner(model)
        self.tokenizer = model.tokenizer
        self.languages = model_languages(model.tokenizer)
        self.suppressed = torch.tensor(model.generation.suppress_tokens or [], dtype=torch.long)
        self.begin_suppressed = torch.tensor(
            model.generation.begin_suppress_tokens or [], dtype=torch.long
        )
        self.start = token_id(model.tokenizer, "<|startoftranscript|>")
        # Everything from here on is a marker, not text.
        self.end = token_id(model.tokenizer, "<|endoftext|>")
        # Called `nocaptions` or `nospeech` by turns; it always stands before `notimestamps`.
        self.no_speech = token_id(model.tokenizer, "<|notimestamps|>") - 1
        self.task = tuple(
            token_id(model.tokenizer, name) for name in ("<|transcribe|>", "<|notimestamps|>")
        )

    def decoding(
        self, states: Tensor, n_samples: int, language: str, beam_size: int = 5
    ) -> UniversalDecoding:
        """Begin one utterance.

        Args:
            states: float `[n_frames, d_model]`, from audio that was `padded`.
            n_samples: of the audio before that; no word ends later.
            language: BCP-47 tag that the model knows.
            beam_size: hypotheses kept at each step.
        """
        return UniversalDecoding(self, states, n_samples, language, beam_size)

    @torch.inference_mode()
    def recognize(
        self, encoder: WhisperSharedEncoder, audio: Tensor, language: str, beam_size: int = 5
    ) -> UniversalHypothesis:
        """One utterance from float32 `[n_samples]` at 16 kHz, up to 30 s, to its text."""
        encoded = encoder(*encoder.features([padded(audio)]))
        decoding = self.decoding(encoded.states[0], len(audio), language, beam_size)
        while not decoding.done:
            decoding.step()
        return decoding.result()


class UniversalDecoding:
    """Beam search over one utterance. Call `step` until `done`, then `result`."""

    def __init__(
        self,
        recognizer: UniversalRecognizer,
        states: Tensor,
        n_samples: int,
        language: str,
        beam_size: int,
    ) -> None:
        """See `UniversalRecognizer.decoding`."""
        self._of = recognizer
        self._language = language
        self._beam_size = beam_size
        self._end_ms = n_samples * 1000 // SAMPLE_RATE_HZ
        self._memory = recognizer.runner.memory(states)
        token = token_id(recognizer.tokenizer, f"<|{from_bcp47(language)}|>")
        self._prompt = (recognizer.start, token, *recognizer.task)
        self._limit = min(MAX_TOKENS, 8 + len(states) * FRAME_MS * _TOKENS_PER_SECOND // 1000)
        self._beams: list[_Finished] = [_Finished((), ())]
        self._past: Past | None = None
        self._finished: list[_Finished] = []
        self._no_speech_probability = 0.0
        self.done = False

    def step(self) -> None:
        """Extend every beam by one token."""
        first = self._past is None
        tokens = [list(self._prompt)] if first else [[beam.tokens[-1]] for beam in self._beams]
        logits, self._past = self._of.runner.step(torch.tensor(tokens), self._memory, self._past)
        if first:
            silent = logits[0, 0].softmax(dim=-1)[self._of.no_speech]
            self._no_speech_probability = float(silent)
        last = logits[:, -1]
        last[:, self._of.suppressed] = -torch.inf
        last[:, self._of.end + 1 :] = -torch.inf
        if first:
            last[:, self._of.begin_suppressed] = -torch.inf
        self._extend(last.log_softmax(dim=-1))

    def _extend(self, log_probs: Tensor) -> None:
        values, tokens = log_probs.topk(self._beam_size + 1, dim=-1)
        candidates = sorted(
            (
                (sum(beam.log_probs) + value, row, token, value)
                for row, beam in enumerate(self._beams)
                for value, token in zip(values[row].tolist(), tokens[row].tolist(), strict=True)
            ),
            reverse=True,
        )
        kept: list[_Finished] = []
        rows: list[int] = []
        for _, row, token, value in candidates:
            beam = self._beams[row]
            longer = _Finished((*beam.tokens, token), (*beam.log_probs, value))
            if token == self._of.end:
                self._finished.append(longer)
            else:
                kept.append(longer)
                rows.append(row)
            if len(kept) == self._beam_size:
                break
        self._beams = kept
        assert self._past is not None
        self._past = self._past.select(torch.tensor(rows))
        if len(self._finished) >= self._beam_size or len(kept[0].tokens) >= self._limit:
            self.done = True

    def result(self) -> UniversalHypothesis:
        """The best hypothesis with the times of its words; only once `done`."""
        best = max(self._finished or self._beams, key=lambda beam: beam.score)
        text_tokens = [token for token in best.tokens if token < self._of.end]
        text = self._of.tokenizer.decode(text_tokens).strip()
        silent = self._no_speech_probability > _NO_SPEECH and best.score < _LOW_LOG_PROB
        if not text or silent or _compression(text) > _MAX_COMPRESSION:
            return UniversalHypothesis("", (), 0.0)
        return UniversalHypothesis(
            text=text,
            words=self._timed(text_tokens, best.log_probs),
            confidence=float(np.exp(best.score)),
        )

    def _timed(self, tokens: list[int], log_probs: tuple[float, ...]) -> tuple[TimedWord, ...]:
        sequence = torch.tensor([*self._prompt, *tokens])
        attention = self._of.runner.attention(sequence, self._memory).numpy()
        # A row is the step that chose the next token; the last one chose the end, and ends the last
        # word: without it that word would take all of the silence behind it.
        starts = first_frames(attention[len(self._prompt) - 1 :])
        ends = starts[1:]
        words = []
        for first, last in word_bounds(self._of.tokenizer, tokens, self._language):
            text = self._of.tokenizer.decode(tokens[first:last]).strip()
            if text:
                words.append(
                    TimedWord(
                        text=text,
                        start_ms=min(starts[first] * FRAME_MS, self._end_ms),
                        end_ms=min(ends[last - 1] * FRAME_MS, self._end_ms),
                        confidence=float(np.exp(np.mean(log_probs[first:last]))),
                    )
                )
        return tuple(words)


def _compression(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data))
