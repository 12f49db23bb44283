"""A prototype for each phoneme, so that those the sources lack get a place of their own.

Prototypical networks (Snell, Swersky and Zemel, 2017): a class is a point in the encoder's output
space, and a frame belongs to the nearest. Here frames are those that the head's own forced
alignment gives to a letter, and a letter stands for the phonemes that it writes, each with its
share. Phonemes that no source language has count for more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech.ctc.alignment import align
from speech.encoder import Encoded
from transfer.training.auxiliary.task import Auxiliary, Hear
from transfer.training.examples import Batch, Speech
from transfer.training.processes import Processes

UNIQUE_WEIGHT = 3.0
"""Of a frame of a phoneme that the sources lack, where others have 1."""
_FEWEST_FRAMES = 3.0


@dataclass(frozen=True)
class Phonemes:
    """What the letters of the vocabulary stand for, and what of it is new.

    Attributes:
        names: in IPA, sorted.
        shares: float32 `[n_vocab, n_phoneme]`, of each class; rows of zeros stand for nothing.
        nearest: of each phoneme that the sources lack, those they have, the nearest first.
    """

    names: tuple[str, ...]
    shares: Tensor
    nearest: Mapping[str, Sequence[str]]


class Prototypes(Auxiliary):
    """Cross-entropy over negative squared distances to the prototypes."""

    name = "prototypes"
    shares: Tensor
    counts: Tensor

    def __init__(self, phonemes: Phonemes, d_model: int, weight: float) -> None:
        """Prototypes lie at zero until `begin` has heard the training clips."""
        super().__init__()
        self.weight = weight
        self._phonemes = phonemes
        new = " ".join(f"{own}←{near[0]}" for own, near in phonemes.nearest.items() if near)
        self.told = (
            f"prototypes of {len(phonemes.names)} phonemes; not in the sources: {new or '–'}"
        )
        n_phoneme = len(phonemes.names)
        counts = [UNIQUE_WEIGHT if name in phonemes.nearest else 1.0 for name in phonemes.names]
        self.register_buffer("shares", phonemes.shares, persistent=False)
        self.register_buffer("counts", torch.tensor(counts), persistent=False)
        self.points = nn.Parameter(torch.zeros(n_phoneme, d_model))

    @torch.no_grad()
    def begin(self, hear: Hear, heard: Speech, frames: int, processes: Processes) -> None:
        """Put each prototype at the mean of its phoneme's frames, as the learner begins.

        A phoneme that the sources lack begins where the nearest that they have lies.
        """
        n_phoneme, d_model = self.points.shape
        sums = self.points.new_zeros(n_phoneme, d_model + 1)
        for group in heard.groups(frames)[processes.rank :: processes.count]:
            batch = heard.batch(group)
            encoded, log_probs = hear(batch.hidden, batch.lengths)
            for states, shares in self._spoken(encoded, log_probs, batch):
                ones = states.new_ones(len(states), 1)
                sums += shares.T @ torch.cat([states, ones], dim=1)
        total = processes.total(sums.double().flatten().tolist())
        means = torch.tensor(total, device=sums.device).view(n_phoneme, d_model + 1)
        self.points.copy_(self._placed(means[:, :-1], means[:, -1]))

    def loss(self, encoded: Encoded, log_probs: Tensor, batch: Batch) -> Tensor:
        """Mean over the frames of letters, in nats; zero where none could be aligned."""
        spoken = list(self._spoken(encoded, log_probs, batch))
        if not spoken:
            return self.points.sum() * 0.0
        states, shares = (torch.cat(part) for part in zip(*spoken, strict=True))
        distances = torch.cdist(states, self.points).square()
        # As in attention: differences of distances grow with the width.
        chances = (-distances / math.sqrt(states.shape[1])).log_softmax(dim=1)
        weights = shares * self.counts
        return -(weights * chances).sum() / weights.sum()

    def _spoken(
        self, encoded: Encoded, log_probs: Tensor, batch: Batch
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each row the frames of letters: float32 `[n, d_model]`, and `[n, n_phoneme]` shares.

        Frames are normed, so that a prototype cannot win by loudness.
        """
        targets = torch.split(batch.targets, batch.target_lengths.tolist())
        rows = zip(encoded.states, log_probs, encoded.lengths.tolist(), targets, strict=True)
        for states, row, n_frames, symbols in rows:
            path = align(row[:n_frames], symbols.tolist())
            if path is None:
                continue
            letters = torch.from_numpy(path.frames)
            at = (letters >= 0).nonzero()[:, 0]
            shares = self.shares[symbols[letters[at]].to(self.shares.device)]
            sounds = shares.sum(dim=1) > 0
            chosen = states[at.to(states.device)][sounds].float()
            if len(chosen):
                yield F.layer_norm(chosen, chosen.shape[1:]), shares[sounds]

    def _placed(self, sums: Tensor, frames: Tensor) -> Tensor:
        """Means of the phonemes that were heard; the others where the nearest of those lies."""
        phonemes = self._phonemes
        means = sums / frames.clamp(min=1.0)[:, None]
        index = {name: number for number, name in enumerate(phonemes.names)}
        often = {name for name in phonemes.names if frames[index[name]] >= _FEWEST_FRAMES}
        known = often - phonemes.nearest.keys()
        placed = means.clone()
        for name, candidates in phonemes.nearest.items():
            found = next((near for near in candidates if near in known), None)
            if found is not None:
                placed[index[name]] = means[index[found]]
        return placed.float()
