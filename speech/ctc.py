"""Step 9, first half: what CTC log-probabilities say, and when.

Blank is class 0 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speech.encoder import FRAME_MS

BLANK = 0
LogProbs = npt.NDArray[np.float32]
"""float32 `[n_frames, n_vocab]` of one utterance, natural logarithm."""


@dataclass(frozen=True)
class TimedWord:
    """A word and when it was spoken, in ms from the utterance's first sample.

    `confidence` is the geometric mean of its symbols' posteriors, 0 to 1.
    """

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class Path:
    """Symbols, and where each was spoken.

    Attributes:
        symbols: classes, repeats merged and blanks left out.
        frames: int64 `[n_frames]`, the index into `symbols` each frame belongs to, -1 for blank.
    """

    symbols: tuple[int, ...]
    frames: npt.NDArray[np.int64]


def greedy(log_probs: LogProbs) -> Path:
    """The best class of every frame."""
    best = log_probs.argmax(axis=1)
    opens = (best != BLANK) & np.concatenate(([True], best[1:] != best[:-1]))
    frames = np.where(best == BLANK, -1, np.cumsum(opens) - 1)
    return Path(tuple(int(symbol) for symbol in best[opens]), frames)


def text_of(symbols: Sequence[int], vocabulary: Sequence[str]) -> str:
    """The text of a sequence of classes, with single spaces and none at the ends."""
    return " ".join("".join(vocabulary[symbol] for symbol in symbols).split())


def align(log_probs: LogProbs, symbols: Sequence[int]) -> Path | None:
    """Most likely way to have spoken `symbols`; None when the frames are too few to hold them.

    Viterbi over the 2 n + 1 states of blank, symbol, blank, … as in Graves et al., "Connectionist
    Temporal Classification" (2006).
    """
    n_frames = len(log_probs)
    n_state = 2 * len(symbols) + 1
    states = np.full(n_state, BLANK)
    states[1::2] = symbols
    skippable = np.zeros(n_state, dtype=bool)
    skippable[3::2] = states[3::2] != states[1:-2:2]
    emission = log_probs[:, states]
    score = np.full(n_state, -np.inf)
    score[:2] = emission[0, :2]
    step = np.zeros((n_frames, n_state), dtype=np.int8)
    for frame in range(1, n_frames):
        choices = np.full((3, n_state), -np.inf)
        choices[0] = score
        choices[1, 1:] = score[:-1]
        choices[2, 2:] = np.where(skippable[2:], score[:-2], -np.inf)
        step[frame] = choices.argmax(axis=0)
        score = choices.max(axis=0) + emission[frame]
    state = n_state - 1 if n_state == 1 or score[-1] >= score[-2] else n_state - 2
    if not np.isfinite(score[state]):
        return None
    path = np.empty(n_frames, dtype=np.int64)
    for frame in range(n_frames - 1, -1, -1):
        path[frame] = (state - 1) // 2 if state % 2 else -1
        state -= int(step[frame, state])
    return Path(tuple(symbols), path)


def timed_words(
    log_probs: LogProbs, path: Path, vocabulary: Sequence[str]
) -> tuple[TimedWord, ...]:
    """The words of a path with their times and confidence."""
    words: list[TimedWord] = []
    classes = np.asarray(path.symbols)
    first = 0
    for end in range(len(classes) + 1):
        if end < len(classes) and vocabulary[classes[end]] != " ":
            continue
        frames = np.flatnonzero((path.frames >= first) & (path.frames < end))
        if len(frames):
            spoken = log_probs[frames, classes[path.frames[frames]]]
            words.append(
                TimedWord(
                    text="".join(vocabulary[symbol] for symbol in classes[first:end]),
                    start_ms=int(frames[0]) * FRAME_MS,
                    end_ms=(int(frames[-1]) + 1) * FRAME_MS,
                    confidence=float(np.exp(spoken.mean())),
                )
            )
        first = end + 1
    return tuple(words)
