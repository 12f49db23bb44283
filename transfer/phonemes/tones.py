"""The tone of each syllable, for languages where it tells words apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from common.tags import fallbacks, standard_tag
from transfer.phonemes.espeak import SEPARATOR
from transfer.phonemes.g2p import TONAL_VOICES, GraphemeToPhoneme, open_g2p
from transfer.phonemes.notation import without_other_languages

Tones = tuple[tuple[str, ...], ...]
"""Of each syllable of each word."""


@dataclass(frozen=True)
class ToneReader:
    """Tells the tones of a language's texts.

    Attributes:
        names: every tone, sorted; labels for a classifier. Mandarin's are pitches from 1, low, to
            5: `55`, `35`, `214`, `51`, and `11` for a syllable that has none of its own. Those of
            Cantonese, Hakka, Shan and Vietnamese are numbers, Yoruba's `H`, `L` and `M`.
        read: the tones of a text.
    """

    names: tuple[str, ...]
    read: Callable[[str], Tones]


_NUMBERED = ("1", "2", "3", "4", "5", "6")
_NAMES = {
    "cmn": ("11", "214", "35", "51", "55"),
    "hak": _NUMBERED,
    "shn": _NUMBERED,
    "vi": _NUMBERED,
    "yue": _NUMBERED,
}
_UNMARKED = {"vi": "1", "shn": "1"}
"""The tone of a vowel that the library does not number."""
_NUMBER = re.compile(r"\d+$")
_VOWEL = re.compile(r"[aeiouyAEIOUYVW@]")

_WRITE_TONES = {"yo"}
_ACCENTS = {"\u0301": "H", "\u0300": "L"}
_SYLLABLE = re.compile(
    r"""[aeiou][\u0300-\u036f]*       # a vowel
    | [mn][\u0300\u0301\u0304]        # a nasal with an accent
    | (?<![\w\u0300-\u036f])[mn](?![aeiou])  # one that begins a word and is no consonant
    """,
    re.VERBOSE,
)


def open_tones(language: str) -> ToneReader | None:
    """The reader of a language's tones; None where it has none, or none that can be read here.

    Yoruba is read by its accents, which the texts have to carry; it needs nothing installed.

    Args:
        language: BCP-47 tag or ISO 639-3 code.

    Raises:
        PhonemesUnavailable: the language has tones and espeak-ng is not installed.
    """
    try:
        tags = set(fallbacks(standard_tag(language)))
    except ValueError:
        return None
    if tags & _WRITE_TONES:
        return ToneReader(("H", "L", "M"), _written)
    if not tags & (TONAL_VOICES | {"zh"}):
        return None
    g2p = open_g2p(language)
    names = _NAMES[g2p.voice.base]
    return ToneReader(names, partial(_said, g2p=g2p, names=names))


def _said(text: str, g2p: GraphemeToPhoneme, names: tuple[str, ...]) -> Tones:
    """By the numbers behind the library's vowels; words of other languages have no tones."""
    said = g2p.library.phonemes(text, g2p.voice.name, ipa=False).replace("|", "")
    words = []
    for word in without_other_languages(said).split():
        tones = []
        for phoneme in word.split(SEPARATOR):
            number = _NUMBER.search(phoneme)
            if number and number[0] in names:
                tones.append(number[0])
            elif _VOWEL.search(phoneme) and g2p.voice.base in _UNMARKED:
                tones.append(_UNMARKED[g2p.voice.base])
        words.append(tuple(tones))
    return tuple(word for word in words if word)


def _written(text: str) -> Tones:
    """By the accents: acute high, grave low, none mid."""
    words = (
        tuple(
            next((_ACCENTS[mark] for mark in syllable[0] if mark in _ACCENTS), "M")
            for syllable in _SYLLABLE.finditer(word)
        )
        for word in unicodedata.normalize("NFD", text.lower()).split()
    )
    return tuple(word for word in words if word)
