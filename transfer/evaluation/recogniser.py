"""An adapter ready to hear clips as a worker does, whether it was just trained or published."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from speech.adapters.module import Adapter
from speech.base_model import BaseModel
from speech.ctc.lexicon import LexiconDecoder
from speech.ctc.paths import LogProbs, TimedWord, greedy, text_of, timed_words
from transfer.data.audio import Samples


@dataclass(frozen=True)
class Recogniser:
    """The served path of a language.

    Attributes:
        base: the shared encoder.
        adapter: in evaluation mode, in the precision it is published in.
        vocabulary: symbol of each CTC class.
        decoder: beam search with the lexicon, for finals; None where the adapter has none.
    """

    base: BaseModel
    adapter: Adapter
    vocabulary: tuple[str, ...]
    decoder: LexiconDecoder | None

    @torch.inference_mode()
    def log_probs(self, audio: Samples) -> LogProbs:
        """float32 `[n_frames, n_vocab]` of one utterance, float32 `[n_samples]` at 16 kHz."""
        encoder = self.base.encoder
        features, lengths = encoder.features([torch.from_numpy(audio)])
        return self.adapter.log_probs(encoder(features, lengths, self.adapter))[0].numpy()

    def words(self, log_probs: LogProbs) -> tuple[TimedWord, ...]:
        """The words of a final, with raw confidence."""
        path = greedy(log_probs) if self.decoder is None else self.decoder.path(log_probs)
        return timed_words(path, self.vocabulary)

    def final_text(self, log_probs: LogProbs) -> str:
        """The text of a final alone: what `words` would say, without aligning it in time."""
        symbols = (
            greedy(log_probs).symbols if self.decoder is None else self.decoder.decode(log_probs)
        )
        return text_of(symbols, self.vocabulary)

    def partial_text(self, log_probs: LogProbs) -> str:
        """What a partial says: the best symbol of every frame."""
        return text_of(greedy(log_probs).symbols, self.vocabulary)
