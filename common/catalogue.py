"""Which languages there are, and what serves each: of the base model and of the adapters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UnknownLanguage
from common.fleet import UNIVERSAL
from common.routing import Routing
from common.store import Holdings
from common.tags import english_name, fallbacks, nearest_tags


@dataclass(frozen=True)
class ServedLanguage:
    """One language that can be asked for.

    Attributes:
        tag: BCP-47.
        name: in English.
        adapter: `<id>@<version>`, or `universal`.
        base_fingerprint: of the encoder that the adapter needs; None for `universal`.
        held_out_wer: of what serves it, 0 upward; None where not measured.
        fallback: what serves where this cannot: of a canary the stable version, else None.
    """

    tag: str
    name: str
    adapter: str
    base_fingerprint: str | None
    held_out_wer: float | None
    fallback: ServedLanguage | None = None


@dataclass(frozen=True)
class Trial:
    """A canary, and which streams are its."""

    canary: ServedLanguage
    routing: Routing


@dataclass(frozen=True)
class Catalogue:
    """All served languages by tag.

    Attributes:
        languages: by tag; of one with a canary what is stable.
        identified: the tags that language identification can tell apart; None for all.
        trials: canaries, by tag.
    """

    languages: Mapping[str, ServedLanguage]
    identified: AbstractSet[str] | None = None
    trials: Mapping[str, Trial] = field(default_factory=dict)

    def for_stream(self, stream_id: str, known: Mapping[str, ServedLanguage]) -> Catalogue:
        """What serves each language in one stream.

        Of `known`, which the stream was served before, nothing gets lost: a language does not go
        away in the middle of it.
        """
        canaries = {
            tag: trial.canary
            for tag, trial in self.trials.items()
            if trial.routing.is_canary(stream_id)
        }
        return Catalogue({**known, **self.languages, **canaries}, self.identified)

    def is_identified(self, language: ServedLanguage) -> bool:
        """Whether language identification can find this language among others."""
        return self.identified is None or language.tag in self.identified

    def find(self, tag: str, field: str) -> ServedLanguage:
        """The language of a BCP-47 tag.

        A region falls back to the language in that script, a script to the language alone. A
        language that is served in other scripts only is found by its first tag: `ku` finds
        `ku-Arab`.

        Raises:
            UnknownLanguage: names `field`, the tag and the nearest known tags.
        """
        for candidate in (tag, *fallbacks(tag)):
            if candidate in self.languages:
                return self.languages[candidate]
            written = [known for known in self.languages if known.startswith(f"{candidate}-")]
            if written:
                return self.languages[min(written)]
        close = (self.languages[known] for known in nearest_tags(tag, self.languages))
        nearest = ", ".join(f"{x.tag} ({x.name})" for x in close)
        raise UnknownLanguage(f"{field} is {tag!r:.64}, which is not served; nearest: {nearest}")


def models_url(configured: str) -> str:
    """The adapter store: what is configured, else the one shipped beside the code."""
    return configured or str(Path(__file__).resolve().parent.parent / "models")


def universal_languages() -> tuple[str, ...]:
    """BCP-47 tags of the languages the default base model knows."""
    text = (Path(__file__).parent / "universal_languages.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def catalogue_of(
    holdings: Holdings,
    universal_tags: tuple[str, ...],
    identified: AbstractSet[str] | None = None,
) -> Catalogue:
    """The languages of the base model, and over them those that the store's adapters serve.

    `identified` are the tags that language identification tells apart; None for those of the base
    model, whose own language tokens then do.

    An adapter whose card says that the universal path hears its language better is left out. Which
    base the fleet runs plays no part: a store that fits the fleet is what `PANGLOT_MODELS` selects.
    """
    universal = {
        tag: ServedLanguage(tag, english_name(tag), UNIVERSAL, None, None) for tag in universal_tags
    }
    languages, trials = dict(universal), {}
    adapted = {version.tag for version in holdings.versions.values()}
    for tag in adapted | (holdings.documents.keys() & universal.keys()):
        routing = holdings.routing(tag)
        if routing is None:
            continue
        languages[tag] = stable = _served(holdings, tag, routing.stable, None)
        if routing.canary is not None:
            trials[tag] = Trial(_served(holdings, tag, routing.canary, stable), routing)
    return Catalogue(languages, universal.keys() if identified is None else identified, trials)


def _served(
    holdings: Holdings, tag: str, key: str, fallback: ServedLanguage | None
) -> ServedLanguage:
    name = english_name(tag)
    version = holdings.versions.get(key)
    if version is None:
        return ServedLanguage(tag, name, UNIVERSAL, None, None, fallback)
    if version.served_by == UNIVERSAL:
        return ServedLanguage(tag, name, UNIVERSAL, None, version.held_out_wer, fallback)
    return ServedLanguage(tag, name, key, version.base_fingerprint, version.held_out_wer, fallback)
