"""Step 3: the probability of speech in each 32 ms of audio, by Silero VAD.

The network (https://github.com/snakers4/silero-vad, MIT) is the one of the package `silero-vad`,
run by ONNX Runtime. The package itself is not imported: it would bring torch into the gateway and
set its number of threads.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession, SessionOptions

from common.audio import SAMPLE_RATE_HZ, Samples

FRAME_SAMPLES = 512
"""At 16 kHz: the only frame the network takes."""
_CONTEXT_SAMPLES = 64


class SpeechModel(Protocol):
    """What the detector needs of Silero; the tests bring their own."""

    def probability(self, frame: Samples) -> float:
        """Of speech, 0 to 1, in the next frame: float32 `[512]`."""
        ...

    def reset(self) -> None:
        """Forget the frames before."""
        ...


class Silero:
    """The network with the state of one stream; its weights are shared by all of them."""

    def __init__(self) -> None:
        """Begin a stream."""
        self._session = _session()
        self._rate = np.array(SAMPLE_RATE_HZ, np.int64)
        self._state: npt.NDArray[np.float32]
        self._context: Samples
        self.reset()

    def probability(self, frame: Samples) -> float:
        """See `SpeechModel`."""
        heard = np.concatenate((self._context, frame))[None]
        feed = {"input": heard, "state": self._state, "sr": self._rate}
        output, self._state = self._session.run(None, feed)
        self._context = frame[-_CONTEXT_SAMPLES:].copy()  # a view would keep all of it alive
        return float(output[0, 0])

    def reset(self) -> None:
        """See `SpeechModel`."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)


class SpeechDetector:
    """One stream's speech probabilities. Synchronous: about 0.1 ms of one core per frame."""

    def __init__(self, model: SpeechModel | None = None) -> None:
        """Detect with `model`, else with Silero."""
        self._model: SpeechModel = model or Silero()
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
            self._model.probability(frame) for frame in samples[:whole].reshape(-1, FRAME_SAMPLES)
        ]

    def reset(self) -> None:
        """Forget everything: the next sample is the first of a new stream."""
        self._model.reset()
        self._rest = np.zeros(0, np.float32)


@cache
def _session() -> InferenceSession:
    package = find_spec("silero_vad")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("silero-vad is not installed: pip install 'panglot[server]'")
    options = SessionOptions()
    # A frame is too small to share among threads, and other streams want them.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(package.origin).parent / "data" / "silero_vad_16k_op15.onnx"
    return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
