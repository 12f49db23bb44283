"""Step 4: which language a window of speech is in, by Whisper's language token.

One decoder step after `<|startoftranscript|>`: the softmax over the language tokens alone is the
posterior (Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from speech.base_model import WhisperBase
from speech.features import SAMPLE_RATE_HZ
from speech.precision import Placement
from speech.whisper.decoder import Feed, WhisperDecoderRunner
from speech.whisper.languages import model_languages, token_id

# Padded to 6 s the model is as right as padded to 30 s (93% at 3 s of speech), at a seventh of the
# time; without padding it falls to 89%. What is longer adds little, so the latest 6 s are judged.
WINDOW_SAMPLES = 6 * SAMPLE_RATE_HZ


class LanguageIdentifier:
    """Whisper's encoder and one step of its decoder."""

    def __init__(self, model: WhisperBase, placement: Placement | None = None) -> None:
        """Take over `model`'s weights and move them to `placement`, if one is given."""
        if placement is not None:
            whisper: torch.nn.Module = model.whisper
            whisper.to(placement.device, placement.dtype)
        self._encoder = model.encoder
        self._runner = WhisperDecoderRunner(model)
        self._start = token_id(model.tokenizer, "<|startoftranscript|>")
        languages = model_languages(model.tokenizer)
        self.languages = tuple(languages)
        self._tokens = torch.tensor(list(languages.values()))

    @torch.inference_mode()
    def posteriors(self, windows: Sequence[Tensor]) -> Tensor:
        """Posterior of each window over all languages.

        Args:
            windows: float32 `[n_samples]` each, 16 kHz; of more than 6 s the end is heard.

        Returns:
            float32 `[n_window, n_language]` in the order of `languages`; rows sum to 1.
        """
        heard = [window[-WINDOW_SAMPLES:] for window in windows]
        heard = [F.pad(window, (0, WINDOW_SAMPLES - len(window))) for window in heard]
        features, lengths = self._encoder.features(heard)
        encoded = self._encoder(features, lengths)
        feeds = [
            Feed(self._runner.utterance(states), [[self._start]], [()]) for states in encoded.states
        ]
        logits = self._runner.logits(self._runner.step(feeds))[:, self._tokens]
        return logits.softmax(dim=-1).cpu()
