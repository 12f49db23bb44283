"""Fewer minutes of a manifest's speech, as if there were no more: for curves over them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from common.errors import InvalidRequest
from transfer.data.manifest import Clip


def minutes_of(clips: Iterable[Clip]) -> float:
    """Minutes of speech in all."""
    return sum(clip.duration_s for clip in clips) / 60


def subset(clips: Sequence[Clip], minutes: float, seed: int = 0) -> list[Clip]:
    """Keep at most `minutes` of the training clips, and all clips of the other splits.

    A smaller subset of the same seed lies within a larger one. Which clips come first is drawn from
    their names and texts, so that neither the manifest's order nor its folder matters; the order of
    `clips` stays.

    Raises:
        InvalidRequest: there is less, or not even one clip fits.
    """
    training = [clip for clip in clips if clip.split == "train"]
    present = minutes_of(training)
    if not minutes > 0:
        raise InvalidRequest(f"{minutes:g} minutes of speech were asked for: give more than 0")
    if minutes > present + 0.05:
        raise InvalidRequest(
            f"{minutes:g} minutes of training speech were asked for, the manifest has {present:.1f}"
        )
    left_s = minutes * 60
    kept = set()
    for clip in sorted(training, key=lambda clip: _rank(clip, seed)):
        left_s -= clip.duration_s
        # The first that does not fit ends it: one taken from further down would not be nested.
        if left_s < 0 and minutes < present:
            break
        kept.add(clip)
    if not kept:
        raise InvalidRequest(f"{minutes:g} minutes are shorter than a single clip: give more")
    return [clip for clip in clips if clip.split != "train" or clip in kept]


def _rank(clip: Clip, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{PurePath(clip.audio).name}\n{clip.text}".encode()).digest()
