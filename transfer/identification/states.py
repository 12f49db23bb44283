"""Crops of clips as the head hears them: states and language logits of the model, kept on disk.

The model is frozen, so that each crop passes it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech.features import SAMPLE_RATE_HZ
from speech.whisper.language_id import WhisperLanguageIdentifier
from transfer.data.audio import Samples, read_audio
from transfer.data.manifest import Clip
from transfer.files import whole
from transfer.identification.background import background
from transfer.identification.crops import CROP_S, crop, speech_of
from transfer.progress import Bars

_FEWEST_SAMPLES = SAMPLE_RATE_HZ // 5


@dataclass(frozen=True)
class Heard:
    """Crops through the model.

    Attributes:
        states: float32 `[n_crop, d_model]`, of the decoder.
        logits: float32 `[n_crop, n_class]`, of its language tokens, and of silence.
        clips: int64 `[n_crop]`, the clip each crop is of, -1 for background.
    """

    states: Tensor
    logits: Tensor
    clips: Tensor

    def __len__(self) -> int:
        return len(self.clips)

    def only(self, chosen: Tensor) -> Heard:
        """Some of the crops, bool `[n_crop]`."""
        return Heard(self.states[chosen], self.logits[chosen], self.clips[chosen])


def heard_crops(
    model: WhisperLanguageIdentifier,
    clips: Sequence[Clip],
    per_language: int,
    seed: int,
    cache: Path,
    bars: Bars,
) -> Heard:
    """About `per_language` crops of each language's clips, and as many of background.

    Args:
        cache: file they are kept in; one that is there is taken as it is.
    """
    if cache.is_file():
        return read_heard(cache)
    chance = np.random.default_rng(seed)
    states: list[Tensor] = []
    logits: list[Tensor] = []
    owners: list[int] = []
    advance = bars("hearing crops", sum(shares(clips, per_language)) + per_language)
    for owner, samples in _crops(clips, per_language, chance):
        if len(samples) >= _FEWEST_SAMPLES:
            state, logit = model.heard([torch.from_numpy(samples)])
            states.append(state)
            logits.append(logit)
            owners.append(owner)
        advance()
    heard = Heard(torch.cat(states), torch.cat(logits), torch.tensor(owners))
    cache.parent.mkdir(parents=True, exist_ok=True)
    with whole(cache) as scratch:
        np.savez(
            scratch,
            states=heard.states.numpy(),
            logits=heard.logits.numpy(),
            clips=heard.clips.numpy(),
        )
    return heard


def read_heard(cache: Path) -> Heard:
    """Crops as `heard_crops` keeps them."""
    with np.load(cache) as kept:
        return Heard(*(torch.from_numpy(kept[name]) for name in ("states", "logits", "clips")))


def shares(clips: Sequence[Clip], per_language: int) -> list[int]:
    """How many crops each clip gives: a language as many as any other, its corpora the same."""
    count: dict[tuple[str, str], int] = {}
    sources: dict[str, set[str]] = {}
    for clip in clips:
        key = (clip.language, clip.source)
        count[key] = count.get(key, 0) + 1
        sources.setdefault(clip.language, set()).add(clip.source)
    found, owed = [], dict.fromkeys(count, 0.0)
    for clip in clips:
        key = (clip.language, clip.source)
        owed[key] += per_language / len(sources[clip.language]) / count[key]
        found.append(int(owed[key]))
        owed[key] -= found[-1]
    return found


def _crops(
    clips: Sequence[Clip], per_language: int, chance: np.random.Generator
) -> Iterator[tuple[int, Samples]]:
    for owner, (clip, share) in enumerate(zip(clips, shares(clips, per_language), strict=True)):
        if share:
            speech = speech_of(read_audio(clip.audio))
            for _ in range(share):
                yield owner, crop(speech, chance)
    for _ in range(per_language):
        yield -1, background(int(chance.uniform(*CROP_S) * SAMPLE_RATE_HZ), chance)
