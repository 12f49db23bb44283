"""Which languages there are, and what serves each: of the base model and of the adapters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.errors import UnknownLanguage
from common.fleet import UNIVERSAL
from common.routing import Routing
from common.store import Holdings
from common.tags import english_name, fallbacks, nearest_tags
from common.zero_shot import LONGEST_CHAIN, StandIn, StandIns

_ADAPTER_WORTH = 0.15
"""By how much nearer a relative of the universal path has to be than one with an adapter.

A choice: no speech is at hand in a language that the base model was not taught. An adapter takes a
fifth of the time and was judged on speech; the base model knows some of its languages hardly at all
(Haitian Creole is nearer to Walloon than French). What it writes in another script helps nobody.
"""


@dataclass(frozen=True)
class ServedLanguage:
    """One language that can be asked for.

    Attributes:
        tag: BCP-47.
        name: in English.
        adapter: `<id>@<version>`, or `universal`.
        base_fingerprint: of the encoder that the adapter needs; None for `universal`.
        held_out_wer: of what serves it, 0 upward; None where not measured.
        fallback: what serves where this cannot: of a canary the stable version, of a stand-in the
            next nearest; None where nothing does.
        on_trial: a canary: whatever it fails of, `fallback` serves at once.
        stand_in: the relative that `adapter` is of, where nothing serves the language itself.
    """

    tag: str
    name: str
    adapter: str
    base_fingerprint: str | None
    held_out_wer: float | None
    fallback: ServedLanguage | None = None
    on_trial: bool = False
    stand_in: StandIn | None = None

    @property
    def spoken_as(self) -> str:
        """BCP-47 tag of the language that `adapter` takes what it hears for."""
        return self.stand_in.tag if self.stand_in else self.tag


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
        universal: the tags that the universal path knows.
        stand_ins: who hears a language that is not among `languages`; None: nobody.
    """

    languages: Mapping[str, ServedLanguage]
    identified: AbstractSet[str] | None = None
    trials: Mapping[str, Trial] = field(default_factory=dict)
    universal: AbstractSet[str] = frozenset()
    stand_ins: StandIns | None = None

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
        return replace(self, languages={**known, **self.languages, **canaries}, trials={})

    def including(self, tags: Iterable[str]) -> Mapping[str, ServedLanguage]:
        """All served languages, and those of `tags`, which `find` gave, that relatives serve."""
        rest = (self._zero_shot(tag) for tag in tags if tag not in self.languages)
        return {**self.languages, **{found.tag: found for found in rest if found}}

    def is_identified(self, language: ServedLanguage) -> bool:
        """Whether language identification can find this language among others."""
        return self.identified is None or language.tag in self.identified

    def find(self, tag: str, field: str) -> ServedLanguage:
        """The language of a BCP-47 tag.

        A region falls back to the language in that script, a script to the language alone. A
        language that is served in other scripts only is found by its first tag: `ku` finds
        `ku-Arab`. One that is not served at all is by the nearest relatives, if they are near.

        Raises:
            UnknownLanguage: names `field`, the tag and the nearest known tags.
        """
        for candidate in (tag, *fallbacks(tag)):
            if candidate in self.languages:
                return self.languages[candidate]
            written = [known for known in self.languages if known.startswith(f"{candidate}-")]
            if written:
                return self.languages[min(written)]
        if (found := self._zero_shot(tag)) is not None:
            return found
        close = (self.languages[known] for known in nearest_tags(tag, self.languages))
        nearest = ", ".join(f"{x.tag} ({x.name})" for x in close)
        raise UnknownLanguage(f"{field} is {tag!r:.64}, which is not served; nearest: {nearest}")

    def _zero_shot(self, asked: str) -> ServedLanguage | None:
        """A language by its relatives' adapters, and at last by the universal path."""
        if self.stand_ins is None:
            return None
        for tag in dict.fromkeys(wider for wider in fallbacks(asked) if wider.isalpha()):
            near = self.stand_ins.of(tag, frozenset(self.languages))
            lenders = sorted(((self.languages[x.tag], x) for x in near), key=_preference)
            chain = lenders[:LONGEST_CHAIN]
            last = next((x for _, x in lenders if x.tag in self.universal), None)
            if last and (UNIVERSAL, last.tag) not in {(one.adapter, one.tag) for one, _ in chain}:
                chain.append((_universal(last.tag), last))
            served: ServedLanguage | None = None
            for lender, relative in reversed(chain):
                served = _lent(lender, tag, relative, served)
            if served is not None:
                return served
        return None


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
    stand_ins: StandIns | None = None,
) -> Catalogue:
    """The languages of the base model, and over them those that the store's adapters serve.

    `identified` are the tags that language identification tells apart; None for those of the base
    model, whose own language tokens then do. `stand_ins` hear languages that nothing serves.

    An adapter whose card says that the universal path hears its language better is left out. Which
    base the fleet runs plays no part: a store that fits the fleet is what `PANGLOT_MODELS` selects.
    """
    universal = {tag: _universal(tag) for tag in universal_tags}
    languages, trials = dict(universal), {}
    adapted = {version.tag for version in holdings.versions.values()}
    for tag in adapted | (holdings.documents.keys() & universal.keys()):
        routing = holdings.routing(tag)
        if routing is None:
            continue
        languages[tag] = stable = _served(holdings, tag, routing.stable, None)
        if routing.canary is not None:
            canary = _served(holdings, tag, routing.canary, stable)
            trials[tag] = Trial(replace(canary, on_trial=True), routing)
    if identified is None:
        identified = universal.keys()
    return Catalogue(languages, identified, trials, universal.keys(), stand_ins)


def _universal(tag: str) -> ServedLanguage:
    return ServedLanguage(tag, english_name(tag), UNIVERSAL, None, None)


def _preference(pair: tuple[ServedLanguage, StandIn]) -> float:
    """Less is better; of relatives that somebody chose, each is as good as the other."""
    lender, relative = pair
    if relative.similarity is None:
        return 0.0
    worth = _ADAPTER_WORTH if lender.adapter != UNIVERSAL and relative.same_script else 0.0
    return -relative.similarity - worth


def _lent(
    lender: ServedLanguage, tag: str, relative: StandIn, otherwise: ServedLanguage | None
) -> ServedLanguage:
    """What serves `lender`, its canary and what is stable, for another language."""
    if lender.fallback is not None:
        otherwise = _lent(lender.fallback, tag, relative, otherwise)
    return replace(
        lender,
        tag=tag,
        name=english_name(tag),
        held_out_wer=None,
        fallback=otherwise,
        stand_in=relative,
    )


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
