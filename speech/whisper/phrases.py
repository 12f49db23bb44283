"""Boosted phrases for a decoder that writes tokens: which bonus a hypothesis has for those in it.

Contextual biasing by a prefix tree in the beam search (shallow fusion; Zhao et al., "Shallow-Fusion
End-to-End Contextual Biasing", 2019): each token that goes on with a phrase earns a bonus, which is
taken back where the phrase is not completed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from speech.whisper.languages import UNSPACED


@dataclass(frozen=True)
class Place:
    """Where a hypothesis stands among the phrases.

    Attributes:
        node: of the tree; 0 is the root.
        kept: bonus for phrases that are complete.
        pending: bonus for one that is under way.
        heard: the last nodes of the complete ones. Each counts once: else a hypothesis would gain
            by saying everything twice.
    """

    node: int = 0
    kept: float = 0.0
    pending: float = 0.0
    heard: frozenset[int] = frozenset()

    @property
    def bonus(self) -> float:
        """What is added to the log-probability of the hypothesis."""
        return self.kept + self.pending


OUTSIDE = Place()


class PhraseTree:
    """Phrases as a prefix tree over tokens."""

    def __init__(
        self, phrases: Iterable[Sequence[int]], inside_words: Collection[int], bonus: float
    ) -> None:
        """Build the tree.

        Args:
            phrases: tokens of each.
            inside_words: tokens that cannot begin a word; before one, no phrase is complete.
            bonus: for each token of a phrase, in natural logarithm.
        """
        self._inside_words = inside_words
        self._bonus = bonus
        self._next: list[dict[int, int]] = [{}]
        self._complete: set[int] = set()
        for tokens in phrases:
            node = 0
            for token in tokens:
                if token not in self._next[node]:
                    self._next[node][token] = len(self._next)
                    self._next.append({})
                node = self._next[node][token]
            if node:
                self._complete.add(node)

    def candidates(self, place: Place) -> Collection[int]:
        """Tokens that begin a phrase, or go on with one."""
        return self._next[place.node].keys() | self._next[0].keys()

    def advance(self, place: Place, token: int) -> Place:
        """Where a hypothesis stands after one more token."""
        kept, pending, heard = place.kept, place.pending, place.heard
        if place.node in self._complete and token not in self._inside_words:
            kept += 0.0 if place.node in heard else pending
            pending, heard = 0.0, heard | {place.node}
        if node := self._next[place.node].get(token):
            return Place(node, kept, pending + self._bonus, heard)
        node = self._next[0].get(token, 0)
        return Place(node, kept, self._bonus if node else 0.0, heard)


def inside_words(tokenizer: Tokenizer) -> frozenset[int]:
    """Text tokens that go on with a word: they begin with a letter, a digit or half a character."""
    pieces = tokenizer.decode_batch([[token] for token in range(tokenizer.get_vocab_size())])
    return frozenset(
        token
        for token, piece in enumerate(pieces)
        if piece and (piece[0].isalnum() or piece[0] == "\ufffd")
    )


def phrase_tokens(tokenizer: Tokenizer, phrases: Iterable[str], language: str) -> list[list[int]]:
    """Each phrase as the decoder writes it, within a sentence and where one begins."""
    written = {
        spaced(form, language)
        for phrase in phrases
        for form in (phrase, phrase[:1].upper() + phrase[1:])
    }
    return [tokenizer.encode(form, add_special_tokens=False).ids for form in sorted(written)]


def spaced(text: str, language: str) -> str:
    """Text as the decoder begins it: with a space, in languages that have any."""
    return text if language in UNSPACED else f" {text}"
