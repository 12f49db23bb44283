"""Which relatives may stand in for a language that nothing here serves, the nearest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from common.errors import SettingsError, UnknownLanguage
from common.relatives import Relatives
from common.tags import english_name, script_of, standard_tag

LONGEST_CHAIN = 3
"""Relatives that are tried one after another."""
_REMEMBERED = 512

Chains = Mapping[str, tuple[str, ...]]
"""Relatives of a language as somebody chose them, both by BCP-47 tag."""


@dataclass(frozen=True)
class StandIn:
    """A language whose adapter hears another one, which it was never taught.

    Attributes:
        tag: BCP-47.
        name: in English.
        similarity: of the two languages, 0 to 1; None where somebody chose this relative.
        same_script: whether the two are usually written in the same one.
    """

    tag: str
    name: str
    similarity: float | None
    same_script: bool = True


class StandIns:
    """Who stands in for whom."""

    def __init__(
        self, relatives: Relatives, least_similarity: float, chosen: Chains | None = None
    ) -> None:
        """Let relatives stand in.

        Args:
            relatives: how near languages are to one another.
            least_similarity: from which one may stand in; at 1 none may but those of `chosen`.
            chosen: what an operator says; none stands in for a language whose chain is empty.
        """
        self._relatives = relatives
        self._least_similarity = least_similarity
        self._chosen = chosen or {}
        # Asked again for every segment, of languages that rarely change; an answer takes some ms.
        self._near = lru_cache(_REMEMBERED)(self._rank)

    def of(self, tag: str, among: frozenset[str]) -> tuple[StandIn, ...]:
        """Those of `among` that may stand in for a language, the best first.

        Those that were chosen for it, else all that are near enough; none for a language of which
        nothing is known.
        """
        if tag in self._chosen:
            here = (relative for relative in self._chosen[tag] if relative in among)
            return tuple(StandIn(relative, english_name(relative), None) for relative in here)
        return self._near(tag, among) if self._least_similarity < 1 else ()

    def _rank(self, tag: str, among: frozenset[str]) -> tuple[StandIn, ...]:
        try:
            found = self._relatives.nearest(tag, among, len(among))
        except UnknownLanguage:
            return ()
        return tuple(
            StandIn(
                relative.tag,
                english_name(relative.tag),
                relative.similarity,
                script_of(relative.tag) == script_of(tag),
            )
            for relative in found
            if relative.similarity >= self._least_similarity
        )


def read_chains(path: str, variable: str) -> Chains:
    """Chains from a JSON file such as `{"wa": ["fr", "ca"]}`; none without a path.

    Raises:
        SettingsError: the file cannot be read, or says what cannot be; names `variable` and the
            place in the file.
    """
    if not path:
        return {}
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{variable} is {path!r}: {(error.strerror or '').lower()}") from None
    except ValueError as error:
        raise SettingsError(f"{variable} is {path!r}, which is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise SettingsError(
            f'{variable} is {path!r}, which holds no object: write {{"wa": ["fr", "ca"]}}'
        )
    chains: dict[str, tuple[str, ...]] = {}
    for key, relatives in document.items():
        place = f"{variable}: {key!r:.64}"
        tag = _tag(key, place)
        if "-" in tag:
            raise SettingsError(f"{place} has a script or region: name the language alone")
        if tag in chains:
            raise SettingsError(f"{place} is there twice: {tag} under two tags")
        if not isinstance(relatives, list):
            raise SettingsError(
                f"{place} is {relatives!r:.64}: give a list of tags, the best first, or [] for none"
            )
        if len(relatives) > LONGEST_CHAIN:
            raise SettingsError(f"{place} has {len(relatives)} tags: give at most {LONGEST_CHAIN}")
        chain = [_tag(one, f"{place}[{at}]") for at, one in enumerate(relatives)]
        if tag in chain:
            raise SettingsError(f"{place} names itself: name other languages")
        chains[tag] = tuple(dict.fromkeys(chain))
    return chains


def _tag(text: object, place: str) -> str:
    try:
        if not isinstance(text, str) or not text:
            raise ValueError
        return standard_tag(text)
    except ValueError:
        raise SettingsError(f"{place} is {text!r:.64}: give a BCP-47 tag, as fr") from None
