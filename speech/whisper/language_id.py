"""Step 4: which language a window of speech is in, by Whisper's language token.

One decoder step after `<|startoftranscript|>`: the softmax over the language tokens, and the token
that says that nobody speaks, is the posterior (Radford et al., "Robust Speech Recognition via
Large-Scale Weak Supervision", 2022). A head may correct it (`speech.language_id.head`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from speech.base_model import WhisperBase
from speech.features import SAMPLE_RATE_HZ
from speech.language_id.head import LanguageHead
from speech.precision import Placement
from speech.whisper.decoder import Feed, WhisperDecoderRunner
from speech.whisper.languages import model_languages, token_id

WINDOW_SAMPLES = 6 * SAMPLE_RATE_HZ
"""Of a longer window the end is heard: by then all is said about its language."""

# Half a second of silence behind the speech is as good as padding to 6 s, at a third of the time:
# of 240 windows of 1 s 65% are right with either, of 2 s 81%; without it 48% and 71%.
_SILENCE_SAMPLES = SAMPLE_RATE_HZ // 2

# Left alone, the model says of one real window of speech in five that nobody speaks (11 of 56 of
# 1 s, 4 of 13 of 2 s, whose languages it had right). With this less it does so of one in twenty,
# and silence stays what it is (0.92 becomes 0.68); noise and tones no longer are.
_NO_SPEECH_BIAS = 1.7


class WhisperLanguageIdentifier:
    """Whisper's encoder and one step of its decoder. Behind `speech.language_id.identifier`."""

    def __init__(
        self,
        model: WhisperBase,
        placement: Placement | None = None,
        temperature: float = 1.0,
        head: LanguageHead | None = None,
    ) -> None:
        """Take over `model`'s weights and move them to `placement`, if one is given.

        Logits, corrected by `head` if there is one, are divided by `temperature`.
        """
        if placement is not None:
            whisper: torch.nn.Module = model.whisper
            whisper.to(placement.device, placement.dtype)
        self._encoder = model.encoder
        self._runner = WhisperDecoderRunner(model)
        self._start = token_id(model.tokenizer, "<|startoftranscript|>")
        languages = model_languages(model.tokenizer)
        # Called <|nospeech|> or <|nocaptions|>; its place is always the same.
        no_speech = token_id(model.tokenizer, "<|notimestamps|>") - 1
        self.name = model.name
        self.languages = tuple(languages)
        embeddings = model.whisper.get_output_embeddings().weight.detach()
        self._tokens = embeddings[[*languages.values(), no_speech]].to("cpu", torch.float32)
        self._temperature = temperature
        self._head = head

    @torch.inference_mode()
    def posteriors(self, windows: Sequence[Tensor]) -> Tensor:
        """As the seam says. Of a window of more than 6 s the end is heard.

        Without a head the background is silence; noise, tones and music are told from speech no
        better than now and then.
        """
        states, logits = self.heard(windows)
        if self._head is None:
            logits[:, -1] -= _NO_SPEECH_BIAS
        else:
            logits = self._head(states, logits)
        return (logits / self._temperature).softmax(dim=-1)

    @torch.inference_mode()
    def heard(self, windows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What a head hears of windows.

        Returns:
            On the CPU: states of the decoder, float32 `[n_window, d_model]`; and logits of the
            language tokens and, last, of the one for no speech, float32 `[n_window, n_class]`.
        """
        ends = [F.pad(window[-WINDOW_SAMPLES:], (0, _SILENCE_SAMPLES)) for window in windows]
        encoded = self._encoder(*self._encoder.features(ends))
        feeds = [
            Feed(self._runner.utterance(states[:length]), [[self._start]], [()])
            for states, length in zip(encoded.states, encoded.lengths.tolist(), strict=True)
        ]
        states = self._runner.step(feeds).to("cpu", torch.float32)
        return states, states @ self._tokens.T
