"""Which languages there are, and what serves each: read from the adapters' cards.

The gateway has no torch: it reads from a card only what routing needs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import langcodes
import structlog

from common.adapter_files import AdapterFiles
from common.errors import UnknownLanguage
from common.fleet import UNIVERSAL

# What the tables of macrolanguages leave apart, and speech recognition need not.
_SAME = {"nb": "no"}
_log = structlog.get_logger()


@dataclass(frozen=True)
class ServedLanguage:
    """One language that can be asked for.

    Attributes:
        tag: BCP-47.
        name: in English.
        adapter: `<id>@<version>`, or `universal`.
        base_fingerprint: of the encoder that the adapter needs; None for `universal`.
        held_out_wer: of what serves it, 0 upward; None where not measured.
    """

    tag: str
    name: str
    adapter: str
    base_fingerprint: str | None
    held_out_wer: float | None


class Catalogue:
    """All served languages by tag."""

    def __init__(
        self, languages: dict[str, ServedLanguage], identified: AbstractSet[str] | None = None
    ) -> None:
        """See `read_catalogue`; `identified` are the tags that can be told apart, None for all."""
        self.languages = languages
        self._identified = identified

    def is_identified(self, language: ServedLanguage) -> bool:
        """Whether language identification can find this language among others."""
        return self._identified is None or language.tag in self._identified

    def find(self, tag: str, field: str) -> ServedLanguage:
        """The language of a BCP-47 tag.

        A region falls back to the language in that script, a script to the language alone. A
        language that is served in other scripts only is found by its first tag: `ku` finds
        `ku-Arab`.

        Raises:
            UnknownLanguage: names `field`, the tag and the nearest known tags.
        """
        for candidate in (tag, *_fallbacks(tag)):
            if candidate in self.languages:
                return self.languages[candidate]
            written = [known for known in self.languages if known.startswith(f"{candidate}-")]
            if written:
                return self.languages[min(written)]
        nearest = ", ".join(f"{x.tag} ({x.name})" for x in self._nearest(tag))
        raise UnknownLanguage(f"{field} is {tag!r:.64}, which is not served; nearest: {nearest}")

    def _nearest(self, tag: str) -> list[ServedLanguage]:
        """By distance of the languages where the tag is one, else by spelling of tag and name."""
        import difflib  # noqa: PLC0415 only to word an error

        known = list(self.languages.values())
        if langcodes.tag_is_valid(tag):
            close = [x for x in known if langcodes.tag_distance(tag, x.tag) < 60]
            if close:
                return sorted(close, key=lambda x: langcodes.tag_distance(tag, x.tag))[:3]
        wanted = tag.lower()[:64]

        def likeness(language: ServedLanguage) -> float:
            spellings = (language.tag.lower(), language.name.lower())
            return max(difflib.SequenceMatcher(None, wanted, x).ratio() for x in spellings)

        return sorted(known, key=likeness, reverse=True)[:3]


def models_url(configured: str) -> str:
    """The adapter store: what is configured, else the one shipped beside the code."""
    return configured or str(Path(__file__).resolve().parent.parent / "models")


def universal_languages() -> tuple[str, ...]:
    """BCP-47 tags of the languages the default base model knows."""
    text = (Path(__file__).parent / "universal_languages.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def read_catalogue(files: AdapterFiles, universal_tags: tuple[str, ...]) -> Catalogue:
    """The languages of the base model, and over them those of the adapters in `files`.

    An adapter whose card says that the universal path hears its language better is left out. Of
    several cards for a language the one with the lowest held-out word error rate wins, one that was
    measured before one that was not, then the first by id; the others are not served. Which base
    the fleet runs plays no part: a store that fits the fleet is what `PANGLOT_MODELS` selects.

    A card that cannot be read is logged and left out: the rest is served.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    found = []
    for name, content in files.cards().items():
        try:
            found.append(_from_card(json.loads(content)))
        except (ValueError, KeyError, TypeError) as error:
            _log.error("card ignored", adapter=name, error=repr(error))
    best: dict[str, ServedLanguage] = {}
    for language in sorted(found, key=_by_error_rate):
        best.setdefault(language.tag, language)
    universal = {
        tag: ServedLanguage(tag, _name(tag), UNIVERSAL, None, None) for tag in universal_tags
    }
    return Catalogue(universal | best, universal.keys())


def _by_error_rate(language: ServedLanguage) -> tuple[bool, float]:
    return language.held_out_wer is None, language.held_out_wer or 0.0


def _from_card(card: dict[str, object]) -> ServedLanguage:
    tag = _tag(str(card["language"]))
    served_by = str(card["served_by"])
    wer = None
    if isinstance(evaluation := card["evaluation"], dict):
        wer = float(evaluation[served_by]["wer"]["value"])
        if math.isnan(wer) or wer < 0:
            raise ValueError(f"a word error rate of {wer}")
    if served_by == UNIVERSAL:
        return ServedLanguage(tag, _name(tag), UNIVERSAL, None, wer)
    adapter = f"{card['id']}@{card['version']}"
    return ServedLanguage(tag, _name(tag), adapter, str(card["base_fingerprint"]), wer)


def _tag(text: str) -> str:
    """As BCP-47 writes it, without the script most people write the language in.

    `uzb-Latn` is `uz`, `uzb-Cyrl` is `uz-Cyrl`. Raises ValueError for what is no tag.
    """
    tag = langcodes.standardize_tag(text)
    parsed = langcodes.get(tag)
    usual = langcodes.get(parsed.language or "und").maximize().script
    return "-".join(part for part in tag.split("-") if part != usual)


def _fallbacks(tag: str) -> tuple[str, ...]:
    try:
        parsed = langcodes.get(tag)
    except ValueError:
        return ()
    # The macrolanguage too: `cmn` is served as `zh`.
    macro = langcodes.get(langcodes.standardize_tag(tag, macro=True)).language or ""
    languages = (parsed.language or "", macro, _SAME.get(macro, ""))
    scripts = (f"-{parsed.script}", "") if parsed.script else ("",)
    return (parsed.to_tag(), *(language + script for language in languages for script in scripts))


def _name(tag: str) -> str:
    return langcodes.get(tag).display_name("en")
