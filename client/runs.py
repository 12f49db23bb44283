"""Where a segment's text changes language. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from client.types import Segment


@dataclass(frozen=True)
class Run:
    """`text[start:end]` of a segment, which is in one language."""

    language: str
    start: int
    end: int


def word_starts(segment: Segment) -> list[int]:
    """Where each word begins in the segment's text, by character.

    Empty where the words are not the text's, as where they were normalised.
    """
    starts: list[int] = []
    at = 0
    for word in segment.words:
        start = segment.text.find(word.text, at)
        if start < 0:
            return []
        starts.append(start)
        at = start + len(word.text)
    return starts


def language_runs(segment: Segment) -> list[Run]:
    """The text cut where its words change language: at least one run, together all of it.

    A run ends where the first word of the next one begins, whatever a script puts between words.
    """
    starts = word_starts(segment)
    languages = [word.language for word in segment.words][: len(starts)] or [segment.language]
    changes = [n for n in range(1, len(languages)) if languages[n] != languages[n - 1]]
    cuts = [0, *(starts[n] for n in changes), len(segment.text)]
    named = [languages[0], *(languages[n] for n in changes)]
    return [Run(*run) for run in zip(named, cuts[:-1], cuts[1:], strict=True)]
