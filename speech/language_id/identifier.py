"""Step 4: the seam behind which a model says what language a window of speech is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class LanguageIdentifier(Protocol):
    """A model, ready to run. One thread at a time."""

    @property
    def name(self) -> str:
        """As it was asked for: `embedded`, a directory or a hub id."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP-47 tags, each once, in the order of the posteriors' columns."""
        ...

    def posteriors(self, windows: Sequence[Tensor]) -> Tensor:
        """Posterior of each window over all languages and the background.

        Background is what nobody says: silence, noise, music, tones. The same window has the same
        posterior whatever it shares a batch with, up to rounding.

        Args:
            windows: at least one, float32 `[n_samples]` each, 16 kHz, 100 ms or more. What a model
                cannot take shorter or longer it pads itself, or hears only the end of: no length
                from 100 ms on is an error. Shorter windows are the caller's mistake.

        Returns:
            float32 `[n_window, n_language + 1]` on the CPU, rows sum to 1. The last column is the
            background; 0 from a model that has no such class.
        """
        ...
