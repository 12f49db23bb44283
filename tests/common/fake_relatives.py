"""Relatives that a test makes up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

from common.errors import UnknownLanguage
from common.relatives import Relative, Relatives
from common.zero_shot import Chains, StandIns


class FakeRelatives:
    """Similarities by tag and tag; 0 for who is not named. Counts how often it was asked."""

    def __init__(self, similarities: Mapping[str, Mapping[str, float]]) -> None:
        self._similarities = similarities
        self.n_asked = 0

    def nearest(self, tag: str, among: Collection[str], count: int = 3) -> tuple[Relative, ...]:
        self.n_asked += 1
        if tag not in self._similarities:
            raise UnknownLanguage(f"language {tag!r} is not known")
        near = self._similarities[tag]
        found = [Relative(other, near.get(other, 0.0), ()) for other in among]
        return tuple(sorted(found, key=lambda one: (-one.similarity, one.tag))[:count])


def stand_ins(
    similarities: Mapping[str, Mapping[str, float]],
    least: float = 0.5,
    chosen: Chains | None = None,
) -> StandIns:
    """Who stands in by such similarities."""
    return StandIns(cast(Relatives, FakeRelatives(similarities)), least, chosen)
