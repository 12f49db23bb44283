"""Sources of a language, the best first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from common.language_facts import LanguageFacts
from common.relatives import Relatives
from transfer.sources.benefit import Benefit
from transfer.sources.knowledge import Pair, SourceAdapter, check_sources, pair_of


@dataclass(frozen=True)
class Ranked:
    """A source.

    Attributes:
        pair: what is known of it beside the target.
        adapter: the one to start from; None where there is none yet.
        benefit: expected share of the errors of a start from nothing that a start from it removes,
            0..1.
    """

    pair: Pair
    adapter: SourceAdapter | None
    benefit: float

    @property
    def reasons(self) -> tuple[str, ...]:
        """For people, the weightiest first."""
        if self.adapter is None:
            return self.pair.reasons
        told = []
        if self.adapter.minutes is not None:
            told.append(f"{self.adapter.minutes:.0f} min of speech")
        if self.adapter.letters_wrong is not None:
            told.append(f"{self.adapter.letters_wrong:.0%} of letters wrong")
        return (*self.pair.reasons, *told)


def rank_adapters(
    relatives: Relatives, benefit: Benefit, target: str, adapters: Collection[SourceAdapter]
) -> list[Ranked]:
    """Adapters by expected benefit; more than one may be of a language.

    Raises:
        InvalidRequest: one is of the target itself.
        UnknownLanguage: nothing is known of a language; names the nearest.
    """
    found = []
    for adapter in adapters:
        check_sources(relatives, target, (adapter.tag,))
        pair = pair_of(relatives, target, adapter.tag)
        found.append(Ranked(pair, adapter, benefit.of(pair, adapter)))
    return _sorted(found)


def rank_languages(
    relatives: Relatives, benefit: Benefit, target: str, tags: Collection[str]
) -> list[Ranked]:
    """Languages by expected benefit, whether anybody has taught them or not.

    Raises:
        InvalidRequest: one is the target itself, or is there twice.
        UnknownLanguage: nothing is known of a language; names the nearest.
    """
    check_sources(relatives, target, tags)
    pairs = [pair_of(relatives, target, tag) for tag in tags]
    return _sorted([Ranked(pair, None, benefit.of(pair)) for pair in pairs])


def nearest_languages(
    relatives: Relatives, benefit: Benefit, target: str, count: int
) -> list[Ranked]:
    """Of all languages with an inventory of their own those nearest to a target."""
    own = relatives.table.find(target).code
    described = [code for code in relatives.table.described if code != own]
    near = relatives.nearest(target, described, count)
    return rank_languages(relatives, benefit, target, [one.tag for one in near])


def weights(
    language: str, tags: Sequence[str], relatives: Relatives | None = None
) -> tuple[float, ...]:
    """What each source counts in a weighted mean: its similarity's share; in all 1.

    All count the same where none has anything in common with the language.

    Raises:
        InvalidRequest: no sources, the language itself among them, or one twice.
        UnknownLanguage: nothing is known of a language; names the nearest.
    """
    relatives = relatives or Relatives.read()
    check_sources(relatives, language, tags)
    near = [pair_of(relatives, language, tag).similarity for tag in tags]
    total = sum(near)
    return tuple(one / total if total else 1 / len(tags) for one in near)


def substitutes(language: LanguageFacts) -> list[str]:
    """What is not known of a language, and what is taken in its place; for people."""
    code = language.code
    if language.clades is None and not language.phonemes:
        return [
            f"neither descent nor phonemes of {code} are known: adapters alone tell sources apart"
        ]
    told = []
    if language.stand_in:
        told.append(
            f"no phonemes of {code} are listed: those usual in {language.stand_in} are taken"
        )
    elif not language.phonemes:
        told.append(f"no phonemes of {code} or of a relative are listed: descent alone counts")
    if language.clades is None:
        told.append(f"the descent of {code} is not known: phonemes alone count")
    elif not language.clades:
        told.append(f"{code} has no known relatives: phonemes alone tell sources apart")
    return told


def _sorted(found: list[Ranked]) -> list[Ranked]:
    return sorted(found, key=lambda one: (-one.benefit, -one.pair.similarity, one.pair.source))
