"""The letters of the International Phonetic Alphabet by manner and place, drawn together.

After the chart of the International Phonetic Association (2020), less its rarest letters.
"""

from __future__ import annotations

_LETTERS = {
    "plosive": "pbtdʈɖcɟkɡqɢʔɓɗʄɠʛ",
    "affricate": "",  # written with a tie
    "fricative": "ɸβfvθðszʃʒʂʐçʝxɣχʁħʕhɦɕʑɧɬɮ",
    "nasal": "mɱnɳɲŋɴ",
    "lateral": "lɭʎʟɫɺ",
    "trill or tap": "ʙrʀɾɽ",
    "approximant": "ʋɹɻjɰwɥʍ",
    "click": "ʘǀǃǂǁ",
    "high front vowel": "iyɪʏ",
    "mid front vowel": "eøɛœ",
    "central vowel": "ɨʉɘɵəɜɞɐ",
    "mid back vowel": "ɤoʌɔ",
    "high back vowel": "ɯuʊ",
    "low vowel": "æaɶɑɒ",
}
CLASSES = tuple(_LETTERS)
"""Every articulatory class, consonants first."""
CLASS_OF = {letter: name for name, letters in _LETTERS.items() for letter in letters}
"""Base letter → class."""
VOWELS = frozenset(letter for letter, name in CLASS_OF.items() if name.endswith("vowel"))
STOPS = frozenset(_LETTERS["plosive"])
RELEASES = frozenset(_LETTERS["fricative"] + _LETTERS["lateral"])
"""What makes an affricate behind a stop."""
TIE = "\u0361"
LONG = "ː"
ASPIRATED = "ʰ"
