"""Corpora whose text lost accents on the way: what word frequencies can put back."""

from __future__ import annotations

import re
import unicodedata
from functools import cache


def restore_accents(text: str, language: str, *, only_missing: bool = False) -> str:
    """Write a word as its far commoner spelling that differs only in accents (`numero` → `número`).

    For corpora typed without accents in part. A word changes only where the other spelling is at
    least ten times as frequent, so `esta` and `está` both stay as they are.

    Args:
        text: as the corpus has it.
        language: BCP-47 tag.
        only_missing: leave words alone that carry an accent, where languages tell words apart by
            them (Romanian `pană`, feather, and the commoner `până`, until).
    """
    spellings = _commonest_spellings(language)

    def restore(match: re.Match[str]) -> str:
        word = match[0].lower()
        bare = strip_accents(word)
        if only_missing and word != bare:
            return match[0]
        best, frequency = spellings.get(bare, (word, 0.0))
        return best if best != word and frequency >= _zipf(word, language) + 1.0 else match[0]

    return re.sub(r"[^\W\d_]+", restore, text)


def mend_question_marks(text: str, language: str) -> str:
    """Put back accented letters that an encoding turned into `?` (`pi? tardi` → `più tardi`).

    Only a `?` with text after it is such a letter; at the end it is punctuation.
    """

    def mend(match: re.Match[str]) -> str:
        candidates = [match[1] + letter for letter in "àèéìòù"]
        return max(candidates, key=lambda word: _zipf(word.lower(), language))

    return re.sub(r"(\w*)\?(?=\s+\w)", mend, text)


def strip_accents(word: str) -> str:
    """`contraseña` → `contrasena`."""
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def _zipf(word: str, language: str) -> float:
    from wordfreq import zipf_frequency  # noqa: PLC0415 its tables take a second to load

    return float(zipf_frequency(word, language))


@cache
def _commonest_spellings(language: str) -> dict[str, tuple[str, float]]:
    """Unaccented spelling → the commonest spelling of it, with its Zipf frequency."""
    from wordfreq import top_n_list  # noqa: PLC0415 its tables take a second to load

    best: dict[str, tuple[str, float]] = {}
    for word in top_n_list(language, 100_000):  # commonest first
        best.setdefault(strip_accents(word), (word, _zipf(word, language)))
    return best
