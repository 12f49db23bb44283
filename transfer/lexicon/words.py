"""The words of a language: how often they are said, and which others there are.

Frequencies come from `wordfreq` (Speer 2022, several corpora). It knows some forty languages, and
of inflected ones the common forms. All others come from a Hunspell dictionary out of Debian's
packages. It knows no frequencies, but the training text shows which kinds of forms are said:
captions are full of nominatives and have hardly an imperative.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from wordfreq import available_languages, get_frequency_dict

from transfer.data.corpora import Licence, unpack
from transfer.data.text import normalise
from transfer.lexicon.hunspell import forms

_MOST_LISTED = 100_000
_FEWEST_FORMS_OF_A_RULE = 20
"""Forms that a rule must have before its own rate is believed rather than that of all rules."""
_ELIDING = {"ca", "fr", "it"}
"""Languages where an apostrophe ends a word that leans on the next."""
_ONE_LETTER_WORDS = {
    "be": "азіоуўэя",
    "bg": "авеиосуяѝ",
    "ca": "aeioyà",
    "da": "iåø",
    "el": "ηήοω",
    "en": "ai",
    "es": "aeouy",
    "fr": "aàyô",
    "it": "aeioè",
    "ro": "aeio",
    "ru": "аввежикосуя",
}


@dataclass(frozen=True)
class _Package:
    """A Debian package with a dictionary."""

    name: str
    dictionary: str
    version: str
    licence: str


_PACKAGES = {
    "be": _Package("hunspell-be", "be_BY", "0.53", "CC-BY-SA-3.0"),
    "bg": _Package("hunspell-bg", "bg_BG", "7.5.0", "GPL-2.0-only"),
    "ca": _Package("hunspell-ca", "ca", "3.0.7", "GPL-2.0-or-later OR LGPL-2.1-or-later"),
    "da": _Package("hunspell-da", "da_DK", "7.5.0", "LGPL-2.1 OR GPL-2.0 OR MPL-1.1"),
    "el": _Package("hunspell-el", "el_GR", "7.5.0", "MPL-1.1 OR GPL-2.0 OR LGPL-2.1"),
    "en": _Package("hunspell-en-us", "en_US", "2020.12.07", "SCOWL (permissive)"),
    "es": _Package("hunspell-es", "es_ES", "7.5.0", "GPL-3.0+ OR LGPL-3.0+ OR MPL-1.1+"),
    "fr": _Package("hunspell-fr-comprehensive", "fr", "7.0", "MPL-2.0"),
    "ro": _Package("hunspell-ro", "ro_RO", "7.5.0", "GPL-2.0 OR LGPL-2.1 OR MPL-1.1"),
    "ru": _Package("hunspell-ru", "ru_RU", "7.5.0", "BSD-4-Clause (A. I. Lebedev)"),
}
"""Not Italian's: its licence, GPL-3.0-only, would bind all who are given the lexicon."""
_WORDFREQ = Licence("wordfreq", "wordfreq 3.1.1", "CC-BY-SA-4.0")


def words_of(text: str, language: str) -> list[str]:
    """The units a lexicon holds: `l'homme` is `l'` and `homme` where the language elides."""
    if language in _ELIDING:
        text = re.sub(r"'(?=\w)", "' ", text)
    return text.split()


def sources(language: str, dictionary: Path | None) -> list[Licence]:
    """What a lexicon is made of beside the training text, and under which licences."""
    found = [_WORDFREQ] if language in available_languages() else []
    package = _PACKAGES.get(language)
    if dictionary is not None and package is not None:
        found.append(Licence("dictionary", f"{package.name} {package.version}", package.licence))
    return found


def find_dictionary(language: str, data: Path) -> Path | None:
    """A language's Hunspell dictionary, downloaded into `data` where it is absent.

    Returns:
        The path of its two files without their endings; None where no package is known.

    Raises:
        CorpusUnavailable: the package cannot be downloaded or unpacked.
    """
    package = _PACKAGES.get(language)
    if package is None:
        return None
    unpack(package.name, data)
    return data / "raw/usr/share/hunspell" / package.dictionary


def listed_words(language: str, training: Collection[str]) -> dict[str, float]:
    """Words that `wordfreq` lists with their frequencies, 0 to 1; {} for languages without a list.

    Args:
        language: BCP-47 tag.
        training: words that are words whatever they look like.
    """
    # For others it would offer the words of a related language.
    if language not in available_languages():
        return {}
    known = get_frequency_dict(language)
    frequencies: dict[str, float] = {}
    for entry in itertools.islice(known, _MOST_LISTED):  # commonest first
        for word in words_of(normalise(entry, language), language):
            if _is_word(word, language) or word in training:
                # It counts the `l` of `l'homme` as a word.
                frequency = known.get(word.removesuffix("'"), known[entry])
                frequencies[word] = max(frequency, frequencies.get(word, 0.0))
    for word in training:
        if word.endswith("'") and word[:-1] in known:
            frequencies[word] = known[word[:-1]]
    for word in [word for word in frequencies if f"{word}'" in frequencies]:
        if word not in training:
            del frequencies[word]
    return frequencies


def dictionary_words(
    dictionary: Path, language: str, letters: Collection[str], training: Collection[str]
) -> dict[str, float]:
    """All forms in a dictionary; each has the share of its rule's forms that training text has.

    Args:
        dictionary: as `find_dictionary` gives it.
        language: BCP-47 tag.
        letters: those that normalised text is written with.
        training: words that were said.

    Returns:
        Word → relative frequency, above 0, of no meaning but beside each other.

    Raises:
        BadDictionary: see `transfer.lexicon.hunspell.forms`.
    """
    plain = frozenset(letters) - set("'-")
    rule_of: dict[str, str] = {}
    for form in forms(dictionary):
        # Most forms are as they should be, and `normalise` takes its time.
        written = form.text if plain.issuperset(form.text) else normalise(form.text, language)
        for word in words_of(written, language):
            if _is_word(word, language):
                # The shortest way to make it; the order of rules is no matter.
                known = rule_of.get(word, form.rule)
                rule_of[word] = min(known, form.rule, key=lambda rule: (len(rule), rule))
    n_forms = Counter(rule_of.values())
    n_said = Counter(rule_of[word] for word in training if word in rule_of)
    usual = (n_said.total() + 1) / (n_forms.total() + 1)
    rate = {
        rule: (n_said[rule] + _FEWEST_FORMS_OF_A_RULE * usual) / (n + _FEWEST_FORMS_OF_A_RULE)
        for rule, n in n_forms.items()
    }
    return {word: rate[rule] for word, rule in rule_of.items()}


def _is_word(word: str, language: str) -> bool:
    if len(word) == 1:
        return word in _ONE_LETTER_WORDS.get(language, word)
    return all(c.isalpha() or c in "'-·" for c in word)
