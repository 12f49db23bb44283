"""Language tags (BCP-47) as people write them, and as they are known here."""

from __future__ import annotations

from collections.abc import Collection

import langcodes

# What the tables of macrolanguages leave apart, and speech recognition need not.
_SAME = {"nb": "no", "zlm": "ms"}


def standard_tag(text: str) -> str:
    """As BCP-47 writes it, without the script most people write the language in.

    `uzb-Latn` is `uz`, `uzb-Cyrl` is `uz-Cyrl`. Raises ValueError for what is no tag.
    """
    tag = langcodes.standardize_tag(text)
    parsed = langcodes.get(tag)
    usual = script_of(parsed.language or "und")
    return "-".join(part for part in tag.split("-") if part != usual)


def script_of(tag: str) -> str | None:
    """The script that a language is usually written in, such as `Latn`; None where nobody says."""
    return langcodes.get(tag).maximize().script


def widely_called(tag: str) -> str:
    """A language by the wider tag under which speech recognition knows it: `nb` is `no`."""
    return _SAME.get(tag, tag)


def nearest_tags(tag: str, known: Collection[str], count: int = 3) -> list[str]:
    """Those of `known` by distance of the languages where `tag` is one, else by spelling.

    By spelling of the tag, or of the language's English name.
    """
    import difflib  # noqa: PLC0415 only to word an error

    if langcodes.tag_is_valid(tag):
        distances = {other: langcodes.tag_distance(tag, other) for other in known}
        close = [other for other in known if distances[other] < 60]
        if close:
            return sorted(close, key=distances.__getitem__)[:count]
    wanted = tag.lower()[:64]

    def likeness(other: str) -> float:
        spellings = (other.lower(), english_name(other).lower())
        return max(difflib.SequenceMatcher(None, wanted, x).ratio() for x in spellings)

    return sorted(known, key=likeness, reverse=True)[:count]


def fallbacks(tag: str) -> tuple[str, ...]:
    """Wider tags to look for, the nearest first; none for what is no tag."""
    try:
        parsed = langcodes.get(tag)
    except ValueError:
        return ()
    # The macrolanguage too: `cmn` is served as `zh`.
    macro = langcodes.get(langcodes.standardize_tag(tag, macro=True)).language or ""
    languages = (parsed.language or "", macro, _SAME.get(macro, ""))
    scripts = (f"-{parsed.script}", "") if parsed.script else ("",)
    return (parsed.to_tag(), *(language + script for language in languages for script in scripts))


def english_name(tag: str) -> str:
    """What English calls the language."""
    return langcodes.get(tag).display_name("en")
