"""The symbols an adapter writes: CTC classes, one per character of the training text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

BLANK_SYMBOL = "<blank>"
SEPARATOR = " "


def vocabulary_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Blank, the word separator, then every other character of the texts in code point order."""
    characters = {character for text in texts for character in text} - {SEPARATOR}
    return (BLANK_SYMBOL, SEPARATOR, *sorted(characters))


def encode(text: str, vocabulary: Sequence[str]) -> list[int]:
    """CTC classes of a text; characters the vocabulary lacks are left out."""
    index = {symbol: number for number, symbol in enumerate(vocabulary)}
    return [index[character] for character in text if character in index]


def frames_needed(classes: Sequence[int]) -> int:
    """Fewest frames in which CTC can write them: one each, and a blank between two alike."""
    return len(classes) + sum(one == next_one for one, next_one in pairwise(classes))
