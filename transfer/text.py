"""How transcripts are written, per language, before anything learns from or is scored against them.

One form serves training and scoring: lower case, NFC, no punctuation; apostrophes and hyphens only
inside or at the elided end of a word (`l'homme`, `un po'`). `scoring_form` goes one step further
and splits at hyphens, because whether `dix-sept` carries one is spelling, not hearing.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

ALPHABETS = {
    "en": "abcdefghijklmnopqrstuvwxyz",
    "es": "abcdefghijklmnopqrstuvwxyzáéíñóúü",
    "fr": "abcdefghijklmnopqrstuvwxyzàâæçèéêëîïôœùûüÿ",
    "it": "abcdefghijklmnopqrstuvwxyzàèéìòù",
    "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
}
"""Letters of each language; other languages take any letter Unicode knows."""

_DIGITS = {
    "en": "zero one two three four five six seven eight nine",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "ru": "ноль один два три четыре пять шесть семь восемь девять",
}
_APOSTROPHES = str.maketrans("’ʼ`´‘", "'''''")
_HYPHENS = str.maketrans("‐‑", "--")
_ELIDED_END = {"it"}
"""Languages that write an apostrophe at a word's end: `un po'`."""


def normalise(text: str, language: str) -> str:
    """The written form that is learnt and scored: `L’homme, dit-il.` → `l'homme dit-il`.

    Digits and symbols are kept, so that `unreadable` can find them: nobody knows how they were
    read aloud.
    """
    text = unicodedata.normalize("NFC", text.lower()).translate(_APOSTROPHES).translate(_HYPHENS)
    if language == "ru":
        # Russian prints ё as е at will; the transcripts at hand do both.
        text = text.replace("ё", "е")
    kept = [c if c in "'-" or not _is_punctuation(c) else " " for c in text]
    words = (_trim_marks(word, language) for word in "".join(kept).split())
    return " ".join(word for word in words if word)


def scoring_form(text: str, language: str) -> str:
    """What word and character error rates are counted on, for reference and hypothesis alike."""
    return " ".join(normalise(text, language).replace("-", " ").split())


def spell_digits(text: str, language: str) -> str:
    """Write out digits that stand alone (`press 1` → `press one`); longer numbers stay.

    A menu's single digit has one reading; `1234` has several, and such a text is left out later.
    """
    if language not in _DIGITS:
        return text
    words = _DIGITS[language].split()
    return re.sub(r"(?<![\w.,])\d(?![\w]|[.,]\d)", lambda match: words[int(match[0])], text)


def unreadable(text: str, language: str) -> str | None:
    """Why a normalised text cannot be a transcript, or None where it can."""
    letters = [c for c in text if c not in " '-"]
    if not letters:
        return "empty text"
    if len(letters) == 1:
        # The name of a letter is said, the letter is written: it teaches a wrong spelling.
        return "single letter"
    if any(not c.isalpha() and not unicodedata.category(c).startswith("M") for c in letters):
        return "digits or symbols"
    if language in ALPHABETS and not set(letters) <= set(ALPHABETS[language]):
        return "foreign letters"
    return None


def restore_accents(text: str, language: str) -> str:
    """Write a word as its far commoner spelling that differs only in accents (`numero` → `número`).

    For corpora typed without accents in part. A word changes only where the other spelling is at
    least ten times as frequent, so `esta` and `está` both stay as they are.
    """
    spellings = _commonest_spellings(language)

    def restore(match: re.Match[str]) -> str:
        word = match[0].lower()
        best, frequency = spellings.get(strip_accents(word), (word, 0.0))
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


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PZC"


def _trim_marks(word: str, language: str) -> str:
    elided = language in _ELIDED_END and word.endswith("'") and word.strip("'-")
    trimmed = word.strip("'-")
    return f"{trimmed}'" if elided else trimmed


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
