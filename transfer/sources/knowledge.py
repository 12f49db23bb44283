"""What is known, before anything is taught, of a target language, a source, and its adapter."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from common.errors import InvalidRequest
from common.language_facts import LanguageFacts
from common.relatives import Relatives
from common.tags import script_of
from speech.adapters.card import AdapterCard


@dataclass(frozen=True)
class SourceAdapter:
    """An adapter that a target could start from, as its card has it.

    Attributes:
        key: `<id>@<version>`.
        tag: BCP-47, of the language it hears.
        minutes: of speech it was taught with; None where nobody wrote it down.
        letters_wrong: of its best path alone on held-out speech, 0 upward; None likewise.
    """

    key: str
    tag: str
    minutes: float | None
    letters_wrong: float | None

    @classmethod
    def of(cls, card: AdapterCard) -> Self:
        """What a card says."""
        hours = card.training.hours
        return cls(
            key=f"{card.id}@{card.version}",
            tag=card.language,
            minutes=None if hours is None else 60 * hours,
            letters_wrong=card.evaluation.greedy.cer.value if card.evaluation else None,
        )


@dataclass(frozen=True)
class Pair:
    """A source beside a target; None for what is not known.

    Attributes:
        target, source: tags as they were given.
        target_code: ISO 639-3.
        groups: names of the branches each belongs to, families first: the target's, the source's.
        genetic: likeness by descent, 0..1.
        same_branch: both are of one branch of a family, such as Germanic.
        inventory: likeness of the phonemes, 0..1.
        coverage: share of the target's phonemes that the source has, 0..1.
        lacking_distance: from each phoneme of the target to the source's nearest by articulation,
            0..1; the mean over all of the target's, so it is 0 where the source has them all.
        target_tonal: words of the target differ by tone.
        tone_lost: and the source is known not to be tonal.
        script_shared: both are usually written in the same script.
        similarity: what `Relatives.nearest` goes by, 0..1.
        reasons: for people.
    """

    target: str
    source: str
    target_code: str
    groups: tuple[frozenset[str], frozenset[str]]
    genetic: float | None
    same_branch: bool
    inventory: float | None
    coverage: float | None
    lacking_distance: float | None
    target_tonal: bool
    tone_lost: bool
    script_shared: bool
    similarity: float
    reasons: tuple[str, ...]


def pair_of(relatives: Relatives, target: str, source: str) -> Pair:
    """What is known of two languages.

    Raises:
        UnknownLanguage: nothing is known of one of them; names the nearest.
    """
    table = relatives.table
    own, other = table.find(target), table.find(source)
    compared = relatives.compare(own, other)
    distance = None
    if own.phonemes and other.phonemes:
        distance = float(table.phoneme_distance(own.phonemes, other.phonemes).mean())
    shared = script_of(target) == script_of(source)
    return Pair(
        target=target,
        source=source,
        target_code=own.code,
        groups=(_groups(relatives, own), _groups(relatives, other)),
        genetic=compared.genetic,
        same_branch=compared.same_branch,
        inventory=compared.inventory,
        coverage=compared.coverage,
        lacking_distance=distance,
        target_tonal=own.tonal is True,
        tone_lost=own.tonal is True and other.tonal is False,
        script_shared=shared,
        similarity=compared.similarity,
        reasons=(*compared.reasons, *(("same script",) if shared else ())),
    )


def check_sources(relatives: Relatives, target: str, sources: Collection[str]) -> None:
    """Refuse what contradicts itself.

    Raises:
        InvalidRequest: a source is the target itself, or is there twice under whatever tags; or
            there is none.
        UnknownLanguage: nothing is known of one of them; names the nearest.
    """
    if not sources:
        raise InvalidRequest("no source language is given: name one or more, such as it,es")
    own = relatives.table.find(target).code
    seen: dict[str, str] = {}
    for tag in sources:
        code = relatives.table.find(tag).code
        if code == own:
            raise InvalidRequest(f"{tag} is {target} itself: leave it out of the sources")
        if code in seen:
            raise InvalidRequest(f"{seen[code]} and {tag} are the same language: give one of them")
        seen[code] = tag


def _groups(relatives: Relatives, language: LanguageFacts) -> frozenset[str]:
    return frozenset(relatives.table.clade_names[clade] for clade in language.clades or ())
