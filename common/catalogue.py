"""Which languages there are, and what serves each: read from the adapters' cards.

The gateway has no torch: it reads from a card only what routing needs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import langcodes
import structlog

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
        held_out_wer: of what serves it, 0 upward; None where not measured.
    """

    tag: str
    name: str
    adapter: str
    held_out_wer: float | None


class Catalogue:
    """All served languages by tag."""

    def __init__(self, languages: dict[str, ServedLanguage]) -> None:
        """See `read_catalogue`."""
        self.languages = languages

    def find(self, tag: str, field: str) -> ServedLanguage:
        """The language of a BCP-47 tag; regions and scripts fall back to the language alone.

        Raises:
            UnknownLanguage: names `field`, the tag and the nearest known tags.
        """
        for candidate in (tag, *_fallbacks(tag)):
            if candidate in self.languages:
                return self.languages[candidate]
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


def models_directory(configured: str) -> Path:
    """The adapter store: what is configured, else the one shipped beside the code."""
    return Path(configured) if configured else Path(__file__).resolve().parent.parent / "models"


def universal_languages() -> tuple[str, ...]:
    """BCP-47 tags of the languages the default base model knows."""
    text = (Path(__file__).parent / "universal_languages.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def read_catalogue(directory: Path, universal_tags: tuple[str, ...]) -> Catalogue:
    """The languages of the base model, and over them those of the adapters below `directory`.

    An adapter whose card says that the universal path hears its language better is left out. A card
    that cannot be read is logged and left out: the rest is served.
    """
    languages = {tag: ServedLanguage(tag, _name(tag), UNIVERSAL, None) for tag in universal_tags}
    for path in sorted(directory.glob("*/card.json")):
        try:
            language = _from_card(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.error("card ignored", adapter=path.parent.name, error=repr(error))
            continue
        languages[language.tag] = language
    return Catalogue(languages)


def _from_card(card: dict[str, object]) -> ServedLanguage:
    tag = langcodes.standardize_tag(str(card["language"]))
    served_by = str(card["served_by"])
    wer = None
    if isinstance(evaluation := card["evaluation"], dict):
        wer = float(evaluation[served_by]["wer"]["value"])
    adapter = UNIVERSAL if served_by == UNIVERSAL else f"{card['id']}@{card['version']}"
    return ServedLanguage(tag, _name(tag), adapter, wer)


def _fallbacks(tag: str) -> tuple[str, ...]:
    try:
        parsed = langcodes.get(tag)
    except ValueError:
        return ()
    # The macrolanguage too: `cmn` is served as `zh`.
    macro = langcodes.get(langcodes.standardize_tag(tag, macro=True)).language or ""
    return (parsed.to_tag(), parsed.language or "", macro, _SAME.get(macro, ""))


def _name(tag: str) -> str:
    return langcodes.get(tag).display_name("en")
