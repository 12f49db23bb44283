"""Backoff language models (Katz 1987) as arrays that score many words at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

NOTHING = 0
"""The state that remembers no word."""


@dataclass(frozen=True)
class NgramModel:
    """A model over numbered words; the end of a sentence is the last of them.

    A state is what the model still remembers of the words before: the longest of their endings
    with which one of its n-grams begins.

    Attributes:
        unigram: float32 `[n_word]`, log10 probability of each word after nothing known.
        after: int32 `[n_word]`, the state after each word.
        start: the state before the first word.
        backoff: float32 `[n_state]`, log10 weight of the shorter memory.
        shorter: int32 `[n_state]`, the state that remembers one word less.
        keys: int64 `[n_ngram]`, ascending: state × n_word + word, of all n-grams but unigrams.
        scores: float32 `[n_ngram]`, their log10 probabilities.
        following: int32 `[n_ngram]`, the states after them.
    """

    unigram: Floats
    after: npt.NDArray[np.int32]
    start: int
    backoff: Floats
    shorter: npt.NDArray[np.int32]
    keys: Ints
    scores: Floats
    following: npt.NDArray[np.int32]

    @property
    def n_word(self) -> int:
        """Words, the end among them."""
        return len(self.unigram)

    @property
    def n_state(self) -> int:
        """Different memories."""
        return len(self.backoff)

    @property
    def n_bytes(self) -> int:
        """Memory it takes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    def score(self, states: Ints, words: Ints) -> tuple[Floats, Ints]:
        """What comes next, for many at once.

        Args:
            states: int64 `[n]`, as this method or `start` gave them.
            words: int64 `[n]`, the word after each.

        Returns:
            Log10 probability of each word, float32 `[n]`, and the states after, int64 `[n]`.
        """
        found = self.unigram[words]
        following = self.after[words].astype(np.int64)
        lost = np.zeros(len(words), np.float32)
        remembering = np.flatnonzero(states != NOTHING)
        states = states.copy()
        while len(remembering) and len(self.keys):
            key = states[remembering] * self.n_word + words[remembering]
            place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
            hit = self.keys[place] == key
            known, place = remembering[hit], place[hit]
            found[known], following[known] = self.scores[place], self.following[place]
            remembering = remembering[~hit]
            lost[remembering] += self.backoff[states[remembering]]
            states[remembering] = self.shorter[states[remembering]]
            remembering = remembering[states[remembering] != NOTHING]
        return found + lost, following

    def end(self, states: Ints) -> Floats:
        """Log10 probability that nothing follows, float32 `[n]`."""
        return self.score(states, np.full(len(states), self.n_word - 1))[0]
