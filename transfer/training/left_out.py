"""Clips that cannot be learned from: told to a person, by name and reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from common.errors import InvalidRequest
from transfer.data.manifest import Clip
from transfer.training.examples import Speech

_MOST_NAMED = 5


def told(**splits: Speech) -> Iterator[str]:
    """A line for each reason for which clips were left out, with some of their names.

    Raises:
        InvalidRequest: nothing is left of one of the splits.
    """
    for split, speech in splits.items():
        lines = []
        for reason in dict.fromkeys(rejected.reason for rejected in speech.left_out):
            clips = [rejected.clip for rejected in speech.left_out if rejected.reason == reason]
            lines.append(f"{len(clips)} of the {split} clips, {reason}: {named(clips)}")
        if not speech.examples:
            raise InvalidRequest(f"no {split} clip can be used: {'; '.join(lines)}")
        yield from lines


def named(clips: Sequence[Clip]) -> str:
    """Names of the first of these files, and how many more there are."""
    names = [PurePath(clip.audio).name for clip in clips[:_MOST_NAMED]]
    more = len(clips) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
