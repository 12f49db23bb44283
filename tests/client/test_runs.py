"""Where a segment's text changes language."""

from __future__ import annotations

import pytest

from client.runs import Run, language_runs, word_starts
from client.types import Segment, Word


def segment(text: str, *words: tuple[str, str]) -> Segment:
    """One with these words and their languages."""
    made = tuple(Word(word, 0, 100, None, language) for word, language in words)
    return Segment(0, 0, 100, "en", text, None, "universal", made)


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        (segment("good day", ("good", "en"), ("day", "en")), [Run("en", 0, 8)]),
        (
            segment("Good, bon jour!", ("Good", "en"), ("bon", "fr"), ("jour", "fr")),
            [Run("en", 0, 6), Run("fr", 6, 15)],
        ),
        (
            segment("日本ok語", ("日本", "ja"), ("ok", "en"), ("語", "ja")),
            [Run("ja", 0, 2), Run("en", 2, 4), Run("ja", 4, 5)],
        ),
        (
            segment("no no no", ("no", "en"), ("no", "es"), ("no", "it")),
            [Run("en", 0, 3), Run("es", 3, 6), Run("it", 6, 8)],
        ),
        (segment("¡hola!", ("hola", "es")), [Run("es", 0, 6)]),
        (segment("23", ("twenty", "de"), ("three", "fr")), [Run("en", 0, 2)]),
        (segment("good"), [Run("en", 0, 4)]),
        (segment(""), [Run("en", 0, 0)]),
    ],
)
def test_text_is_cut_where_its_words_change_language(given: Segment, runs: list[Run]) -> None:
    assert language_runs(given) == runs


def test_words_are_found_in_order() -> None:
    assert word_starts(segment("a bc b", ("a", "en"), ("b", "en"), ("b", "en"))) == [0, 2, 5]
    assert word_starts(segment("b a", ("a", "en"), ("b", "en"))) == []
