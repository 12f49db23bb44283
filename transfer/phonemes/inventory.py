"""Which phonemes of a language its sources have too, and which are its own."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from transfer.phonemes.g2p import GraphemeToPhoneme

_LEAST_SHARE = 0.0005
"""Of all that is said; rarer phonemes come from names and foreign words."""
_LENGTH = str.maketrans("", "", "ːˑ")


@dataclass(frozen=True)
class SharedAndOwn:
    """A target's phonemes beside those of its sources.

    Attributes:
        shared: that at least one source has.
        own: that none has.
    """

    shared: frozenset[str]
    own: frozenset[str]


def phonemes_of(texts: Iterable[str], g2p: GraphemeToPhoneme) -> frozenset[str]:
    """The phonemes that these texts are said with; those that hardly occur are left out."""
    counts = Counter(
        itertools.chain.from_iterable(word for text in texts for word in g2p.phonemes(text))
    )
    least = _LEAST_SHARE * counts.total()
    return frozenset(phoneme for phoneme, count in counts.items() if count >= least)


def shared_and_own(target: Iterable[str], *sources: Iterable[str]) -> SharedAndOwn:
    """Divide the target's phonemes, as `phonemes_of` finds them or an inventory lists them.

    Length makes no difference, since voices and inventories disagree on where to write it: `iː` is
    shared with a source that has `i`.
    """
    known = {without_length(phoneme) for source in sources for phoneme in source}
    phonemes = frozenset(target)
    shared = frozenset(phoneme for phoneme in phonemes if without_length(phoneme) in known)
    return SharedAndOwn(shared, phonemes - shared)


def without_length(phoneme: str) -> str:
    """`aː` is `a`."""
    return phoneme.translate(_LENGTH)
