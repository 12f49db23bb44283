"""Which letters write which phonemes, learnt by aligning words with how they are said.

A hidden Markov model whose states are a word's letters from left to right: each phoneme is written
by one letter, the next by the same or a later one, and letters that are passed over are silent.
What letters write and how far to move are learnt by expectation maximisation over all alignments.
It is the alignment model of Vogel, Ney and Tillmann, "HMM-Based Word Alignment in Statistical
Translation" (COLING 1996), with jumps that never go back.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transfer.phonemes.g2p import GraphemeToPhoneme, Word

_JUMPS = np.array([0.1, 0.7, 0.15, 0.05])
"""Chances to write the next phoneme with the same letter, the next, or one further on, at first."""
_ROUNDS = 20
_BATCH = 512
_LONGEST = 24
"""Letters or phonemes; longer words cost much time and teach nothing new."""
_LEAST_SHARE = 0.02

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def letter_sounds(
    texts: Iterable[str], g2p: GraphemeToPhoneme
) -> Mapping[str, Mapping[str, float]]:
    """Letter → phoneme → how often the letter, where it stands, writes the phoneme.

    What a letter's shares lack to 1 is the share of places where it is silent; those of a letter
    that writes two phonemes at once (`x`) add up to more. Shares below 2% are left out, the largest
    comes first. Each spelling counts once, however often it is said.

    Args:
        texts: sentences as they are learnt: in lower case, without punctuation.
        g2p: reads them.
    """
    return align(words_with_phonemes(texts, g2p))


def words_with_phonemes(texts: Iterable[str], g2p: GraphemeToPhoneme) -> list[tuple[str, Word]]:
    """Each word with its phonemes, as it is said in a sentence where that can be told; sorted.

    Hyphens are left out of the words: none of them writes a sound.
    """
    found: set[tuple[str, Word]] = set()
    for text in texts:
        written = unicodedata.normalize("NFC", text).replace("-", "").split()
        said = g2p.phonemes(text)
        if len(said) == len(written):
            found.update(zip(written, said, strict=True))
            continue
        for word in written:  # the library joins or divides some
            alone = tuple(phoneme for part in g2p.phonemes(word) for phoneme in part)
            if alone:
                found.add((word, alone))
    return sorted(found)


def align(words: Sequence[tuple[str, Word]]) -> dict[str, dict[str, float]]:
    """`letter_sounds` of words whose phonemes are known."""
    kept = [pair for pair in words if 0 < len(pair[0]) <= _LONGEST and 0 < len(pair[1]) <= _LONGEST]
    if not kept:
        return {}
    letters = sorted({letter for word, _ in kept for letter in word})
    phonemes = sorted({phoneme for _, said in kept for phoneme in said})
    letter_index = {letter: index for index, letter in enumerate(letters)}
    phoneme_index = {phoneme: index for index, phoneme in enumerate(phonemes)}
    kept.sort(key=lambda pair: (len(pair[0]), len(pair[1]), pair))  # little padding in a batch
    batches = [
        (
            _padded([[letter_index[letter] for letter in word] for word, _ in batch]),
            _padded([[phoneme_index[phoneme] for phoneme in said] for _, said in batch]),
        )
        for batch in (kept[first : first + _BATCH] for first in range(0, len(kept), _BATCH))
    ]
    counts = np.ones((len(letters), len(phonemes)))
    jumps = _JUMPS
    for _ in range(_ROUNDS):
        model = _Model(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300), jumps)
        expected = [model.expected(spelt, said) for spelt, said in batches]
        counts = np.sum([each for each, _ in expected], axis=0)
        made = np.sum([each for _, each in expected], axis=0) + 1e-6  # one may be made yet
        jumps = made / made.sum()
    places = Counter(letter for word, _ in kept for letter in word)
    shares = counts / np.array([places[letter] for letter in letters])[:, None]
    return {
        letter: {
            phonemes[index]: round(float(shares[row, index]), 4)
            for index in np.argsort(-shares[row], kind="stable")
            if shares[row, index] >= _LEAST_SHARE
        }
        for row, letter in enumerate(letters)
    }


@dataclass(frozen=True)
class _Model:
    """What letters write and how alignments move.

    Attributes:
        writes: float64 `[n_letter, n_phoneme]`, each row's chances; of what it writes, if anything.
        jumps: float64 `[n_jump]`, chances to move on by 0, 1, … letters.
    """

    writes: Floats
    jumps: Floats

    def expected(self, spelt: Ints, said: Ints) -> tuple[Floats, Floats]:
        """How often each letter writes each phoneme and each jump is made, over all alignments.

        Args:
            spelt: int64 `[n_word, n_letter_most]`, -1 behind a word's end.
            said: int64 `[n_word, n_phoneme_most]`, likewise.
        """
        n_word, n_place = spelt.shape
        n_step = said.shape[1]
        # Chances that a place writes a step's phoneme; places behind the end write none.
        chances = self.writes[spelt[:, None, :], said[:, :, None]] * (spelt >= 0)[:, None, :]
        ended = said < 0
        forward = np.zeros((n_step, n_word, n_place))
        backward = np.ones((n_step, n_word, n_place))
        scale = np.ones((n_step, n_word, 1))
        first = np.zeros((n_word, n_place))
        first[:, : len(self.jumps) - 1] = self.jumps[1:]  # from before the first letter
        for step in range(n_step):
            moved = first if step == 0 else self._moved(forward[step - 1])
            reached = moved * chances[:, step]
            scale[step] = reached.sum(axis=1, keepdims=True)
            scale[step][ended[:, step] | (scale[step][:, 0] == 0)] = 1.0
            forward[step] = reached / scale[step]
        for step in range(n_step - 2, -1, -1):
            later = backward[step + 1] * chances[:, step + 1] / scale[step + 1]
            backward[step] = self._moved_back(later)
            backward[step][ended[:, step + 1]] = 1.0
        here = forward * backward
        here[ended.T] = 0.0
        cells = spelt[None] * self.writes.shape[1] + said.T[:, :, None]
        counts = np.bincount(
            np.maximum(cells, 0).ravel(), weights=here.ravel(), minlength=self.writes.size
        ).astype(np.float64)
        return counts.reshape(self.writes.shape), self._jumps_made(
            forward, backward, chances / scale.transpose(1, 0, 2), ended
        )

    def _moved(self, places: Floats) -> Floats:
        """Chances after a jump: float64 `[n_word, n_place]`."""
        moved: Floats = places * self.jumps[0]
        for jump in range(1, len(self.jumps)):
            moved[:, jump:] += places[:, :-jump] * self.jumps[jump]
        return moved

    def _moved_back(self, places: Floats) -> Floats:
        moved: Floats = places * self.jumps[0]
        for jump in range(1, len(self.jumps)):
            moved[:, :-jump] += places[:, jump:] * self.jumps[jump]
        return moved

    def _jumps_made(
        self, forward: Floats, backward: Floats, chances: Floats, ended: npt.NDArray[np.bool_]
    ) -> Floats:
        later = backward[1:] * chances[:, 1:].transpose(1, 0, 2)
        later[ended[:, 1:].T] = 0.0
        made = [(forward[:-1] * later).sum() * self.jumps[0]]
        for jump in range(1, len(self.jumps)):
            shifted = forward[:-1, :, :-jump] * later[:, :, jump:]
            made.append(shifted.sum() * self.jumps[jump])
        return np.array(made)


def _padded(rows: Sequence[Sequence[int]]) -> Ints:
    """int64 `[n_row, longest]`, -1 behind a row's end."""
    padded = np.full((len(rows), max(map(len, rows))), -1)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
