"""How many words of a transcript are wrong, to show beside it."""

from __future__ import annotations

import unicodedata

APOSTROPHES = "'’ʼ"


def words_only(text: str) -> str:
    """Lower case, without punctuation and symbols; apostrophes vanish, the rest parts words."""
    kept = (
        "" if char in APOSTROPHES else " " if unicodedata.category(char)[0] in "PS" else char
        for char in unicodedata.normalize("NFC", text).lower()
    )
    return " ".join("".join(kept).split())


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Words wrong (substituted, inserted, deleted), and words in the reference."""
    import jiwer  # noqa: PLC0415

    expected = words_only(reference)
    if not expected:
        return len(words_only(hypothesis).split()), 0
    counts = jiwer.process_words(expected, words_only(hypothesis))
    return counts.substitutions + counts.insertions + counts.deletions, len(expected.split())
