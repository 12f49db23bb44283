"""Which script a language is written in, and letters that stray in from another.

Scripts are Unicode's `Script` property (UAX #24); a language's usual one is CLDR's likely subtag.
"""

from __future__ import annotations

from functools import cache

import regex
from langcodes import Language
from langcodes.data_dicts import LIKELY_SUBTAGS

_WRITTEN_WITH = {
    "Hans": ("Hani",),
    "Hant": ("Hani",),
    "Jpan": ("Hira", "Kana", "Hani"),
    "Kore": ("Hang", "Hani"),
}
"""ISO 15924 codes that name a way of writing, and the scripts it takes its letters from."""

_LOOKALIKES = {
    "Cyrl": str.maketrans("ABCEHIJKMOPSTXYaceijopsxy", "АВСЕНІЈКМОРЅТХУасеіјорѕху"),
    "Grek": str.maketrans("ABEHIKMNOPTXYZov", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖον"),
}
"""Latin letters and the ones of another script that look the same."""


@cache
def script_of(language: str) -> str | None:
    """ISO 15924 code of the script a language is usually written in; None where nobody says.

    A tag may name its script itself: `sr-Latn`.
    """
    tag = Language.get(language)
    if tag.script is None and (tag.language or "") not in LIKELY_SUBTAGS:
        return None
    return tag.maximize().script


def foreign_letters(text: str, language: str) -> str:
    """The letters of `text` that no text in `language`'s script has, each once, in order."""
    script = script_of(language)
    return "" if script is None else "".join(dict.fromkeys(_foreign(script).findall(text)))


def mend_lookalikes(text: str, language: str) -> str:
    """Retype a word whose stray Latin letters only look like the script's own (`Oικόσιτο`).

    For languages in Cyrillic or Greek. Words wholly in Latin letters stay: they may mean it.
    """
    script = script_of(language)
    if script not in _LOOKALIKES:
        return text

    def mend(match: regex.Match[str]) -> str:
        word = str(match[0])
        mended = word.translate(_LOOKALIKES[script])
        mixed = _foreign(script).sub("", word) != ""
        return mended if mixed and not _foreign(script).search(mended) else word

    return str(regex.sub(r"\p{L}+", mend, text))


@cache
def _foreign(script: str) -> regex.Pattern[str]:
    own = "".join(rf"\p{{Script={name}}}" for name in _WRITTEN_WITH.get(script, (script,)))
    # Marks and signs that many scripts share belong to none.
    return regex.compile(rf"[^{own}\p{{Script=Common}}\p{{Script=Inherited}}\P{{L}}]")
