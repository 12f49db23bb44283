"""From espeak-ng's phonemes to segments of the International Phonetic Alphabet.

Its output is nearly that: voices number variants of a phoneme with signs of their own, write
affricates and diphthongs as single phonemes, and double letters for length.
"""

from __future__ import annotations

import re
import unicodedata

from transfer.phonemes.chart import ASPIRATED, CLASS_OF, LONG, RELEASES, STOPS, TIE, VOWELS

_STRESS = "ˈˌ"
_WHOLE = {"sx": "ɧ", "k^": "c", "ɡ^": "ɟ"}
"""Phonemes that a voice writes like no other: Swedish `sj`, Macedonian `ќ` and `ѓ`."""
_WRITTEN = (
    ("g", "ɡ"),
    ("nɡ", "ŋ"),
    ("ε", "ɛ"),  # a Greek letter
    ("ᵻ", "ɨ"),
    ("ɚ", "ə˞"),
    ("ɝ", "ɜ˞"),
    ("s.", "ʂ"),
    ("tʂ", "ʈʂ"),
    ("z.", "ʐ"),
    ("r.", "ɽ"),
    ("#", "\u0325"),  # voiceless, in Icelandic
    ("ᵝ", ""),
)
_NOT_IPA = re.compile(r"[^\w\u0300-\u036f˞]|[\d_]")
_LANGUAGE_MARK = re.compile(r"\([a-z][a-z0-9-]*\)")
_OTHER_LANGUAGE = re.compile(r"\([a-z][a-z0-9-]*\).*?(?:\([a-z][a-z0-9-]*\)|$)")
_OFF_VOWELS = re.compile(f"(?<=[{''.join(sorted(VOWELS))}])[ʲʰ]")
"""Belarusian `iʲ` and the like: marks of the consonant before."""


def without_language_marks(said: str) -> str:
    """Without the `(en)` where the library changes the language for a word."""
    return _LANGUAGE_MARK.sub("", said)


def without_other_languages(said: str) -> str:
    """Without the words between such marks."""
    return _OTHER_LANGUAGE.sub(" ", said)


def segments(phoneme: str, *, tonal: bool = False) -> list[str]:
    """The segments of one of the library's phonemes; none where it is only a sign.

    Args:
        phoneme: as it writes it in IPA.
        tonal: whether the voice numbers tones, of which it writes the third as `ɜ`.
    """
    text = phoneme.strip(_STRESS).lstrip("?")
    if tonal and len(text) > 1:
        text = text.removesuffix("ɜ")
    text = decomposed(_WHOLE.get(text, text))
    for written, meant in _WRITTEN:
        text = text.replace(written, meant)
    text = _OFF_VOWELS.sub("", _NOT_IPA.sub("", text))
    return _joined(_letters_with_marks(text))


def decomposed(text: str) -> str:
    """Each letter and each mark as a character of its own; the cedilla of `ç` is no mark."""
    return unicodedata.normalize("NFD", text).replace("c\u0327", "ç")


def _letters_with_marks(text: str) -> list[str]:
    """Each base letter with the marks behind it; those after a tie stay with the one before."""
    found: list[str] = []
    for character in text:
        is_mark = unicodedata.category(character) in ("Mn", "Lm", "Sk")
        if found and (is_mark or found[-1].endswith(TIE)):
            if character not in found[-1]:  # `ʲʲ` is no more than `ʲ`
                found[-1] += character
        elif character in CLASS_OF:
            found.append(character)
    return found


def _joined(letters: list[str]) -> list[str]:
    """Make affricates, aspirates and long sounds of letters that are one phoneme."""
    found: list[str] = []
    for letter in letters:
        before = found[-1] if found else ""
        if before == "ʔ" and letter[0] in VOWELS:
            found[-1] = letter  # in Danish a variant of the vowel, no stop
        elif before and letter[0] == "h" and before[0] in STOPS:
            found[-1] += ASPIRATED + letter[1:]
        elif before and letter[0] == before[0]:
            found[-1] += LONG * (LONG not in before)
        elif before and before[0] in STOPS and TIE not in before and letter[0] in RELEASES:
            found[-1] = before + TIE + letter
        else:
            found.append(letter)
    return found
