"""Step 9, the universal path: Whisper's own decoder over the shared encoder's output.

Serves every language the base model knows and that no adapter serves better. Decoding goes step by
step, one forward for all utterances under way, so that whoever runs it decides what happens between
two steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from speech.base_model import WhisperBase
from speech.encoder import SharedEncoder
from speech.features import SAMPLE_RATE_HZ
from speech.whisper.languages import model_languages
from speech.whisper.universal_decoding import UniversalDecoding
from speech.whisper.universal_model import UniversalHypothesis, UniversalModel

__all__ = [
    "UniversalDecoding",
    "UniversalHypothesis",
    "UniversalRecognizer",
    "padded",
    "padded_samples",
]

# Without some silence behind the speech the decoder invents an end. Measured on 40 English clips,
# word error rate: true length 0.33, half a second more 0.08, one second 0.07, 6 s at least 0.03.
_MIN_SAMPLES = 6 * SAMPLE_RATE_HZ
_TAIL_SAMPLES = SAMPLE_RATE_HZ // 2


def padded_samples(n_samples: int) -> int:
    """Length of what `padded` makes of audio of `n_samples`."""
    return min(max(_MIN_SAMPLES, n_samples + _TAIL_SAMPLES), 30 * SAMPLE_RATE_HZ)


def padded(audio: Tensor) -> Tensor:
    """Audio as the decoder wants it encoded: float32 `[n_samples]` with silence behind it."""
    return F.pad(audio, (0, padded_samples(len(audio)) - len(audio)))


class UniversalRecognizer:
    """Starts decodings and steps them; one per process, shared by all utterances."""

    def __init__(self, model: WhisperBase) -> None:
        """Copy the decoder's weights as they are: cast and move the model before."""
        self._model = UniversalModel.of(model)
        self.languages = model_languages(model.tokenizer)
        markers = range(self._model.end + 1, model.whisper.config.vocab_size)
        self._suppressed = self._ids([*(model.generation.suppress_tokens or ()), *markers])
        self._begin_suppressed = self._ids(model.generation.begin_suppress_tokens or ())

    def _ids(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor(list(tokens), dtype=torch.long, device=self._model.runner.device)

    def decoding(
        self,
        states: Tensor,
        n_samples: int,
        language: str,
        beam_size: int = 5,
        boosted_phrases: Sequence[str] = (),
        draft: str = "",
    ) -> UniversalDecoding:
        """Begin one utterance.

        Args:
            states: float `[n_frames, d_model]`, from audio that was `padded`.
            n_samples: of the audio before that; no word ends later.
            language: BCP-47 tag that the model knows.
            beam_size: hypotheses kept at each step.
            boosted_phrases: what is likelier to be said than the model would think.
            draft: a text that the result may begin with, as the last partial of a growing segment;
                not used with boosted phrases. Its tokens are checked together in the first step,
                and those that a beam of one would have chosen anyway are taken over. With a beam of
                one that changes nothing. With more, what a beam of one says is the result wherever
                it is sure of every token (openai/whisper falls back likewise, by temperature).

        Raises:
            ModelNotFound: the model does not know the language.
        """
        return UniversalDecoding(
            self._model, states, n_samples, language, beam_size, boosted_phrases, draft
        )

    @torch.inference_mode()
    def step(self, decodings: Sequence[UniversalDecoding]) -> None:
        """Extend each decoding by one token, in one forward; those that are done are left alone.

        What a decoding becomes does not depend on the others. Decodings in their first step feed
        their whole prompt, beside the single tokens of the others.
        """
        live = [decoding for decoding in decodings if not decoding.done]
        if not live:
            return
        feeds = [decoding.feed() for decoding in live]
        logits = self._model.runner.logits(self._model.runner.step(feeds))
        counts = [feed.n_row for feed in feeds]
        for decoding, rows in zip(live, torch.split(logits, counts), strict=True):
            if decoding.begins:
                decoding.no_speech = float(rows[0].softmax(dim=-1)[self._model.no_speech])
                rows[len(decoding.prompt) - 1, self._begin_suppressed] = -torch.inf
        logits[:, self._suppressed] = -torch.inf
        log_probs = logits.log_softmax(dim=-1)
        best = log_probs.topk(1 + max(decoding.beam_size for decoding in live), dim=-1)
        values, tokens = best.values.tolist(), best.indices.tolist()
        first = 0
        for decoding, n_row in zip(live, counts, strict=True):
            last = first + n_row
            decoding.extend(log_probs[first:last], values[first:last], tokens[first:last])
            first = last

    @torch.inference_mode()
    def recognize(
        self, encoder: SharedEncoder, audio: Tensor, language: str, beam_size: int = 5
    ) -> UniversalHypothesis:
        """One utterance from float32 `[n_samples]` at 16 kHz, up to 30 s, to its text."""
        encoded = encoder(*encoder.features([padded(audio)]))
        decoding = self.decoding(encoded.states[0], len(audio), language, beam_size)
        while not decoding.done:
            self.step([decoding])
        return decoding.result()
