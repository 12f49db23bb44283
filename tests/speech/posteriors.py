"""Posteriors to decode, and CTC by its definition."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from speech.ctc.paths import BLANK, LogProbs, Path


def normalised(rows: list[list[float]]) -> LogProbs:
    """Any scores as float32 log-probabilities."""
    scores = np.array(rows, dtype=np.float32)
    normed: LogProbs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return normed


def spoken(classes: str) -> LogProbs:
    """One sure class for each character: `-` is blank, `_` the space."""
    index = ["-_ab".index(character) for character in classes]
    return np.log(np.full((len(index), 4), 0.01) + 0.96 * np.eye(4)[index]).astype(np.float32)


def matrices(n_vocab: int = 3, most_frames: int = 6) -> st.SearchStrategy[LogProbs]:
    """Log-probabilities of one to `most_frames` frames."""
    row = st.lists(st.floats(-5, 5, width=16), min_size=n_vocab, max_size=n_vocab)
    return st.lists(row, min_size=1, max_size=most_frames).map(normalised)


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """The definition of CTC: merge repeats, then drop blanks."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


def classes_of(path: Path) -> tuple[int, ...]:
    """The class of each frame of a path."""
    return tuple(path.symbols[index] if index >= 0 else BLANK for index in path.frames)


def score_of(log_probs: LogProbs, path: Path) -> float:
    """Log-probability of a path."""
    return float(log_probs[np.arange(len(log_probs)), classes_of(path)].sum())
