"""What transfer was published to be worth, by language families: where no measurement says more.

The table is that of `docs/transfer.md`, "Sources". Of pairs within a branch it has Germanic alone,
from which others are taken to be no different: else Italian would teach Catalan less than English.
"""

from __future__ import annotations

from transfer.sources.knowledge import Pair

_WITHIN_A_BRANCH = 0.85
_BY_GROUPS = (
    # source, target, share of the errors removed; the first that fits
    ("Germanic", "Romance", 0.70),
    ("Indo-European", "Indo-European", 0.65),
    ("Indo-European", "Atlantic-Congo", 0.50),  # Glottolog's name for Niger-Congo's core
    ("Indo-European", "Sino-Tibetan", 0.45),
)
_TO_TONAL = 0.55
_NOTHING_KNOWN = 0.50
_TONE_LOST = 0.85


def published_benefit(pair: Pair) -> float:
    """Share of errors that a start from the source removes, 0..1, as published."""
    share = _by_family(pair)
    return share * _TONE_LOST if pair.tone_lost else share


def _by_family(pair: Pair) -> float:
    if pair.same_branch:
        return _WITHIN_A_BRANCH
    target, source = pair.groups
    otherwise = _TO_TONAL if pair.target_tonal else _NOTHING_KNOWN
    return next((share for s, t, share in _BY_GROUPS if s in source and t in target), otherwise)
