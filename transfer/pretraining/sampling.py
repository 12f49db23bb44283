"""Which pieces of audio a batch holds: languages by temperature, pieces of like length together.

Conneau et al., "Unsupervised Cross-lingual Representation Learning for Speech Recognition" (2020):
a language is drawn with probability p_l ~ (n_l / N)^alpha, where n_l are its hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from common.audio import SAMPLE_RATE_HZ
from transfer.pretraining.corpus import Piece

BLOCK = 16
"""Batches that are drawn at once, so that pieces of like length come together."""
Batch = tuple[Piece, ...]


def shares(seconds: Mapping[str, float], alpha: float) -> dict[str, float]:
    """Probability of each language: (n_l / N)^alpha, scaled to sum to 1."""
    total = sum(seconds.values())
    weights = {language: (each / total) ** alpha for language, each in seconds.items()}
    return {language: weight / sum(weights.values()) for language, weight in weights.items()}


class Sampler:
    """Batches by number: the same number is always the same batch, whatever came before."""

    def __init__(self, pieces: Sequence[Piece], alpha: float, batch_s: float, seed: int) -> None:
        """Draw from `pieces`, none longer than `batch_s`."""
        self._by_language: dict[str, list[Piece]] = {}
        for piece in pieces:
            self._by_language.setdefault(piece.language, []).append(piece)
        seconds = {
            language: sum(piece.n_samples for piece in own) / SAMPLE_RATE_HZ
            for language, own in self._by_language.items()
        }
        self.seconds = seconds
        self.shares = shares(seconds, alpha)
        self._batch_samples = int(batch_s * SAMPLE_RATE_HZ)
        self._seed = seed
        self._block: tuple[int, list[Batch]] = (-1, [])

    def batch(self, number: int) -> Batch:
        """Pieces of about `batch_s` in all."""
        block, place = divmod(number, BLOCK)
        if self._block[0] != block:
            self._block = (block, self._draw(block))
        return self._block[1][place]

    def _draw(self, block: int) -> list[Batch]:
        chance = np.random.default_rng((self._seed, block))
        languages, odds = list(self.shares), list(self.shares.values())
        drawn: list[Piece] = []
        wanted, total = BLOCK * self._batch_samples, 0
        while total < wanted:
            own = self._by_language[languages[chance.choice(len(languages), p=odds)]]
            drawn.append(own[chance.integers(len(own))])
            total += drawn[-1].n_samples
        drawn.sort(key=lambda piece: piece.n_samples)
        batches: list[list[Piece]] = [[] for _ in range(BLOCK)]
        before = 0
        for piece in drawn:
            # No piece is longer than a batch, so none of the batches stays empty.
            batches[before * BLOCK // total].append(piece)
            before += piece.n_samples
        order = chance.permutation(BLOCK)
        return [tuple(batches[place]) for place in order]
