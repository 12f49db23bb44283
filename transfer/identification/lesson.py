"""What a head learns from: crops, and what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from transfer.data.manifest import Clip
from transfer.identification.states import Heard


def corpus_of(clip: Clip) -> str:
    """As `es:asterisk`."""
    return f"{clip.language}:{clip.source}"


@dataclass(frozen=True)
class Lesson:
    """Crops and their clips.

    Attributes:
        heard: the crops.
        clips: what they are of, by `heard.clips`.
        languages: BCP-47 tags; the class after the last is the background.
    """

    heard: Heard
    clips: Sequence[Clip]
    languages: tuple[str, ...]

    def without(self, corpora: Sequence[str]) -> Lesson:
        """All but some corpora, named as `corpus_of` does."""
        return replace(self, heard=self.heard.only(~self._in(corpora)))

    def of(self, corpora: Sequence[str]) -> Lesson:
        """Some corpora alone, without background."""
        return replace(self, heard=self.heard.only(self._in(corpora)))

    @property
    def truth(self) -> Tensor:
        """Class of each crop, int64 `[n_crop]`."""
        of_clip = [self.languages.index(clip.language) for clip in self.clips]
        return torch.tensor([*of_clip, len(self.languages)])[self.heard.clips]

    def _in(self, corpora: Sequence[str]) -> Tensor:
        named = np.array([*(corpus_of(clip) in corpora for clip in self.clips), False])
        return torch.from_numpy(named)[self.heard.clips]
