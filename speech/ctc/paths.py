"""Step 9, first half: what CTC log-probabilities say, and when.

Blank is class 0 throughout. Which way a known text was spoken: see `speech.ctc.alignment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from speech.encoder import FRAME_MS

BLANK = 0
LogProbs = npt.NDArray[np.float32]
"""float32 `[n_frames, n_vocab]` of one utterance, natural logarithm."""


@dataclass(frozen=True)
class TimedWord:
    """A word and when it was spoken, in ms from the utterance's first sample.

    `confidence` is 0 to 1: the geometric mean of its symbols' posteriors, until
    `speech.calibration` makes it the probability that the word is right.
    """

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class Path:
    """One class for each frame, and the symbols that these classes spell.

    Attributes:
        symbols: classes, repeats merged and blanks left out.
        frames: int64 `[n_frames]`, the index into `symbols` each frame belongs to, -1 for blank.
        log_probs: float32 `[n_frames]`, log-probability of each frame's class.
    """

    symbols: tuple[int, ...]
    frames: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float32]

    @classmethod
    def of(cls, classes: npt.NDArray[np.int64], log_probs: npt.NDArray[np.float32]) -> Path:
        """The path with these classes and their log-probabilities, both `[n_frames]`."""
        spoken = classes != BLANK
        opens = spoken.copy()
        opens[1:] &= classes[1:] != classes[:-1]
        frames = np.where(spoken, np.cumsum(opens) - 1, -1)
        return cls(tuple(classes[opens].tolist()), frames, log_probs)


def greedy(log_probs: LogProbs) -> Path:
    """The best class of every frame."""
    best = log_probs.argmax(axis=1)
    return Path.of(best, np.take_along_axis(log_probs, best[:, None], axis=1)[:, 0])


def greedy_batch(log_probs: Tensor, lengths: Tensor) -> list[Path]:
    """`greedy` of every row, found where the tensor is: only the best class leaves the device.

    Args:
        log_probs: float `[batch, n_frames, n_vocab]`; classes that a row does not have are -inf.
        lengths: int64 `[batch]`, true frames of each row.
    """
    chosen, best = log_probs.max(dim=-1)
    chosen_rows, best_rows = chosen.float().cpu().numpy(), best.cpu().numpy()
    return [
        Path.of(best_rows[row, :n_frames], chosen_rows[row, :n_frames])
        for row, n_frames in enumerate(lengths.tolist())
    ]


def text_of(symbols: Sequence[int], vocabulary: Sequence[str]) -> str:
    """The text of a sequence of classes, with single spaces and none at the ends."""
    return " ".join("".join(vocabulary[symbol] for symbol in symbols).split())


def timed_words(path: Path, vocabulary: Sequence[str]) -> tuple[TimedWord, ...]:
    """The words of a path with their times and confidence."""
    words: list[TimedWord] = []
    first = 0
    for end in range(len(path.symbols) + 1):
        if end < len(path.symbols) and vocabulary[path.symbols[end]] != " ":
            continue
        text = "".join(vocabulary[symbol] for symbol in path.symbols[first:end])
        if text:
            frames = np.flatnonzero((path.frames >= first) & (path.frames < end))
            words.append(
                TimedWord(
                    text=text,
                    start_ms=int(frames[0]) * FRAME_MS,
                    end_ms=(int(frames[-1]) + 1) * FRAME_MS,
                    confidence=float(np.exp(path.log_probs[frames].mean())),
                )
            )
        first = end + 1
    return tuple(words)
