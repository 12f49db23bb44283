"""How alike languages are: by descent, and by their sounds."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from common.language_facts import LanguageFacts, LanguageTable

_BRANCH = 150
"""A group of more languages than that is called a family, not a branch."""


@dataclass(frozen=True)
class Relative:
    """A language beside another.

    Attributes:
        tag: as it was given.
        similarity: 0..1; 1 for the same language.
        reasons: for people, the weightiest first.
    """

    tag: str
    similarity: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What a target and a source have in common.

    Attributes:
        genetic: 0..1; None where the target's descent is not known.
        same_branch: they share a group of no more than 150 languages, such as Germanic.
        inventory: 0..1, likeness of the phonemes; None where no inventory is known of either.
        coverage: 0..1, share of the target's phonemes that the source has; None likewise.
        reasons: for people.
    """

    genetic: float | None
    same_branch: bool
    inventory: float | None
    coverage: float | None
    reasons: tuple[str, ...]

    @property
    def similarity(self) -> float:
        """0..1: the mean of what is known; 0 where nothing is."""
        known = [value for value in (self.genetic, self.inventory) if value is not None]
        return sum(known) / max(1, len(known))


class Relatives:
    """Compares languages, by the table of `common.language_facts`."""

    def __init__(self, table: LanguageTable) -> None:
        """Compare by `table`."""
        self.table = table
        # Nine tenths of the time of a comparison; the gateway makes many.
        self._facts = lru_cache(maxsize=8192)(table.find)

    @classmethod
    def read(cls) -> Self:
        """With the table that is shipped; about 10 ms."""
        return cls(LanguageTable.read())

    def nearest(self, tag: str, among: Collection[str], count: int = 3) -> tuple[Relative, ...]:
        """Those of `among` most like a language, the best first; fewer where there are fewer.

        A tag of `among` of which nothing is known comes last, with a similarity of 0.

        Raises:
            UnknownLanguage: nothing is known of `tag`; names the nearest.
        """
        target = self._facts(tag)
        found = [self._relative(target, other) for other in among]
        return tuple(sorted(found, key=lambda one: (-one.similarity, one.tag))[:count])

    def compare(self, target: LanguageFacts, source: LanguageFacts) -> Comparison:
        """What a source has of a target.

        Descent is likened as Lin 1998 likens terms: by how much of what there is to tell about a
        language is told by the smallest branch that holds both, log(N / n) / log(N) for n of N
        languages. It does not depend on how finely a family has been divided. Phonemes are likened
        by Dice's coefficient.
        """
        genetic, same_branch, said_of_descent = self._descent(target, source)
        inventory = coverage = None
        shared = target.phonemes & source.phonemes
        if target.phonemes and source.phonemes:
            inventory = 2 * len(shared) / (len(target.phonemes) + len(source.phonemes))
            coverage = len(shared) / len(target.phonemes)
        return Comparison(
            genetic,
            same_branch,
            inventory,
            coverage,
            (said_of_descent, _said_of_phonemes(target, source), *_said_of_tones(target, source)),
        )

    def _relative(self, target: LanguageFacts, tag: str) -> Relative:
        if not self.table.knows(tag):
            return Relative(tag, 0.0, ("nothing is known of it",))
        source = self._facts(tag)
        if source.code == target.code:
            return Relative(tag, 1.0, ("the same language",))
        found = self.compare(target, source)
        return Relative(tag, found.similarity, found.reasons)

    def _descent(
        self, target: LanguageFacts, source: LanguageFacts
    ) -> tuple[float | None, bool, str]:
        if target.clades is None:
            return None, False, "descent not known"
        if target.code == source.code:
            return 1.0, True, "the same language"
        if not target.clades:
            return 0.0, False, "no relatives known"
        shared = [clade for clade in target.clades if clade in (source.clades or ())]
        if not shared:
            return 0.0, False, "another family"
        n_language, n_shared = self.table.n_placed, self.table.clade_size(shared[-1])
        genetic = math.log(n_language / n_shared) / math.log(n_language)
        if n_shared > _BRANCH:
            return genetic, False, f"same family: {self.table.clade_names[shared[0]]}"
        return genetic, True, f"same branch: {self.table.clade_names[shared[-1]]}"


def _said_of_phonemes(target: LanguageFacts, source: LanguageFacts) -> str:
    if not target.phonemes:
        return "phonemes not known"
    if not source.phonemes:
        return "its phonemes not known"
    shared = len(target.phonemes & source.phonemes)
    said = f"{shared} of {len(target.phonemes)} phonemes"
    if target.stand_in:
        said += f" usual in {target.stand_in}"
    if source.stand_in:
        said += f" by those usual in {source.stand_in}"
    return said


def _said_of_tones(target: LanguageFacts, source: LanguageFacts) -> tuple[str, ...]:
    if target.tonal and source.tonal:
        return ("tonal too",)
    if target.tonal and source.tonal is False:
        return ("not tonal",)
    return ()
