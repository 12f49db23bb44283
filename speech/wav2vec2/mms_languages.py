"""What MMS calls a language, and what people do."""

from __future__ import annotations

import re

import langcodes

from common.errors import AdapterRefused

_SCRIPTS = {
    "arabic": "Arab",
    "bengali": "Beng",
    "cyrillic": "Cyrl",
    "devanagari": "Deva",
    "ethiopic": "Ethi",
    "greek": "Grek",
    "hebrew": "Hebr",
    "khmer": "Khmr",
    "lao": "Laoo",
    "latin": "Latn",
    "myanmar": "Mymr",
    "simplified": "Hans",
    "syllabics": "Cans",
    "telugu": "Telu",
    "thai": "Thai",
    "tibetan": "Tibt",
    "traditional": "Hant",
}


def language_tag(code: str) -> str:
    """BCP-47 tag of MMS's language code: ISO 639-3, perhaps with a script or a dialect.

    In the form that CLDR prefers, where `cmn` is `zh` and `azj` is `az`, because that is how people
    and language identification call them. A script is kept where the language is commonly written
    in another. A dialect has no subtag of its own and becomes a private one.

    Raises:
        AdapterRefused: it is no such code.
    """
    match = re.fullmatch(r"([a-z]{2,3})(?:-(script|dialect)_([a-z0-9]+))?", code)
    if match is None or not langcodes.tag_is_valid(match[1]):
        raise AdapterRefused(f"{code:.60}: not a language code of MMS, such as fra")
    language, variant, name = match.groups()
    tag = langcodes.standardize_tag(language, macro=True)
    if variant == "dialect":
        return f"{tag}-x-{'-'.join(re.findall('.{1,8}', name))}"
    if variant == "script":
        if name not in _SCRIPTS:
            raise AdapterRefused(f"{code}: the script {name!r:.40} is not known")
        if langcodes.get(tag).maximize().script != _SCRIPTS[name]:
            return f"{tag}-{_SCRIPTS[name]}"
    return tag
