"""How transcripts are written, per language, before anything learns from or is scored against them.

One form serves training and scoring: lower case, NFC, no punctuation; apostrophes and hyphens only
inside or at the elided end of a word (`l'homme`, `un po'`). Where a language's letters are typed in
several ways, one is kept (`ş` → `ș`, `l.l` → `l·l`). `scoring_form` goes one step further and
splits at hyphens, because whether `dix-sept` carries one is spelling, not hearing.
"""

from __future__ import annotations

import re
import unicodedata

from transfer.data.script import foreign_letters, mend_lookalikes

ALPHABETS = {
    "be": "абвгдеёжзійклмнопрстуўфхцчшыьэюя",
    "bg": "абвгдежзийклмнопрстуфхцчшщъьюяѝ",
    "ca": "abcdefghijklmnopqrstuvwxyzàçèéíïòóúü·",
    "da": "abcdefghijklmnopqrstuvwxyzåæéø",
    "el": "αβγδεζηθικλμνξοπρςστυφχψωάέήίόύώϊϋΐΰ",
    "en": "abcdefghijklmnopqrstuvwxyz",
    "es": "abcdefghijklmnopqrstuvwxyzáéíñóúü",
    "fr": "abcdefghijklmnopqrstuvwxyzàâæçèéêëîïôœùûüÿ",
    "it": "abcdefghijklmnopqrstuvwxyzàèéìòù",
    "ro": "abcdefghijklmnopqrstuvwxyzâîășț",
    "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
}
"""Letters of each language; other languages take any letter Unicode knows."""

_DIGITS = {
    "be": "нуль адзін два тры чатыры пяць шэсць сем восем дзевяць",
    "bg": "нула едно две три четири пет шест седем осем девет",
    "ca": "zero un dos tres quatre cinc sis set vuit nou",
    "da": "nul en to tre fire fem seks syv otte ni",
    "el": "μηδέν ένα δύο τρία τέσσερα πέντε έξι επτά οκτώ εννέα",
    "en": "zero one two three four five six seven eight nine",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "ro": "zero unu doi trei patru cinci șase șapte opt nouă",
    "ru": "ноль один два три четыре пять шесть семь восемь девять",
}
_AGREEING = {
    "be": "12",
    "bg": "12",
    "ca": "12",
    "da": "1",
    "el": "134",
    "es": "1",
    "fr": "1",
    "it": "1",
    "ro": "12",
    "ru": "12",
}
"""Digits whose word depends on what they count: Catalan `2` is `dos` or `dues`."""
_APOSTROPHES = str.maketrans("’ʼ`´‘", "'''''")
_HYPHENS = str.maketrans("‐‑", "--")
_INVISIBLE = str.maketrans("", "", "\u00ad\u200b\u2060\ufeff")
"""Soft hyphens and the like stand inside words and mean nothing."""
_JOINERS = "\u200c\u200d"
"""Zero-width, and part of the spelling in Persian and in India's scripts."""
_DOTLESS = {"az", "tr"}
_ELIDED_END = {"el", "it"}
"""Languages that write an apostrophe at a word's end: `un po'`, `απ' όλα`."""
_LETTER_FORMS = {
    # The middle dot of `l·l` has look-alikes, and a letter of its own in older fonts.
    "ca": {"•": "·", "∙": "·", "⋅": "·", "‧": "·", "・": "·", "ŀ": "l·"},
    # Romanian has a comma below; keyboards and fonts long had only the cedilla or the caron.
    "ro": {"ş": "ș", "ţ": "ț", "ǎ": "ă"},
    # Russian prints ё as е at will; the transcripts at hand do both.
    "ru": {"ё": "е"},
}
"""Letters typed in several ways, and the one that is kept."""


def transcript(text: str, language: str) -> str:
    """What a corpus says was said, as it is learnt: repaired where one repair is certain.

    Look-alike letters of another script are retyped and lone digits of one reading spelt out.
    """
    return normalise(
        spell_digits(mend_lookalikes(text, language), language, certain=True), language
    )


def normalise(text: str, language: str) -> str:
    """The written form that is learnt and scored: `L’homme, dit-il.` → `l'homme dit-il`.

    Digits and symbols are kept, so that `unreadable` can find them: nobody knows how they were
    read aloud.
    """
    text = unicodedata.normalize("NFC", _lower(text, language))
    text = _usual_letters(text.translate(_APOSTROPHES).translate(_HYPHENS), language)
    letters = f"'-{_JOINERS}{ALPHABETS.get(language, '')}"
    kept = [c if c in letters or not _is_punctuation(c) else " " for c in text]
    words = (_trim_marks(word, language) for word in "".join(kept).split())
    return " ".join(word for word in words if word)


def _lower(text: str, language: str) -> str:
    if language in _DOTLESS:
        text = text.replace("I", "ı").replace("İ", "i")
    return text.lower().translate(_INVISIBLE)


def _usual_letters(text: str, language: str) -> str:
    """One way to type each letter, for lower-case text."""
    for typed, kept in _LETTER_FORMS.get(language, {}).items():
        text = text.replace(typed, kept)
    if language == "ca":
        # `·` is a letter between two `l` only; typists put a full stop there.
        return re.sub(r"(?<!l)·|·(?!l)", " ", re.sub(r"(?<=l)\.(?=l)", "·", text))
    if language == "el":
        # The comma of `ό,τι` is silent; σ is written ς at a word's end, the elided `σ'` is not.
        text = re.sub(r"\bό,τι\b", "ότι", text)
        return re.sub(r"(?<=\w)σ\b", "ς", re.sub(r"ς(?=\w)", "σ", text))
    return text


def scoring_form(text: str, language: str) -> str:
    """What word and character error rates are counted on, for reference and hypothesis alike."""
    return " ".join(normalise(text, language).replace("-", " ").split())


def spell_digits(text: str, language: str, *, certain: bool = False) -> str:
    """Write out digits that stand alone (`press 1` → `press one`); longer numbers stay.

    A menu's single digit has one reading; `1234` has several, and such a text is left out later.

    Args:
        text: any text.
        language: BCP-47 tag; one without a table is left as it is.
        certain: leave a digit that may be an ordinal (`9.`, `9-a`) or has to agree with the word
            that follows (Catalan `2 noies` is `dues noies`).
    """
    if language not in _DIGITS:
        return text
    words = _DIGITS[language].split()
    agreeing = _AGREEING.get(language, "")

    def spell(match: re.Match[str]) -> str:
        rest = text[match.end() :]
        ordinal = re.match(r"(?:-|\.\s*)[^\W\d_]", rest)
        counting = match[0] in agreeing and re.match(r"\s*\w", rest)
        if certain and (counting or (ordinal and ordinal[0][-1].islower())):
            return match[0]
        return words[int(match[0])]

    return re.sub(r"(?<![\w.,])\d(?![\w]|[.,]\d)", spell, text)


def unreadable(text: str, language: str) -> str | None:
    """Why a normalised text cannot be a transcript, or None where it can."""
    letters = [c for c in text if c not in " '-"]
    if not letters:
        return "empty text"
    if len(letters) == 1:
        # The name of a letter is said, the letter is written: it teaches a wrong spelling.
        return "single letter"
    if unsaid(text, language):
        return "digits or symbols"
    if foreign_letters(text, language):
        return "another script"
    if unknown_letters(text, language):
        return "foreign letters"
    return None


def unsaid(text: str, language: str) -> str:
    """Digits and symbols of a normalised text, each once: nobody knows how they were read."""
    known = f" '-{_JOINERS}{ALPHABETS.get(language, '')}"
    odd = (c for c in text if c not in known and unicodedata.category(c)[0] not in "LM")
    return "".join(dict.fromkeys(odd))


def unknown_letters(text: str, language: str) -> str:
    """Letters of a normalised text that the language's alphabet lacks, each once."""
    if language not in ALPHABETS:
        return ""
    known = f" '-{ALPHABETS[language]}"
    return "".join(dict.fromkeys(c for c in text if c not in known))


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PZC"


def _trim_marks(word: str, language: str) -> str:
    trimmed = word.strip("'-")
    elided = language in _ELIDED_END and word.endswith("'") and not word.startswith("'")
    return f"{trimmed}'" if elided and trimmed else trimmed
