"""Language tags (BCP-47) as people write them, and as they are known here."""

from __future__ import annotations

import langcodes

# What the tables of macrolanguages leave apart, and speech recognition need not.
_SAME = {"nb": "no"}


def standard_tag(text: str) -> str:
    """As BCP-47 writes it, without the script most people write the language in.

    `uzb-Latn` is `uz`, `uzb-Cyrl` is `uz-Cyrl`. Raises ValueError for what is no tag.
    """
    tag = langcodes.standardize_tag(text)
    parsed = langcodes.get(tag)
    usual = langcodes.get(parsed.language or "und").maximize().script
    return "-".join(part for part in tag.split("-") if part != usual)


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
