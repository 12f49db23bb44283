"""Which clips train, which choose (development) and which judge (held out).

No sentence stands in two splits, nor does a near copy of it where the split is made here. Splits
are decided by hashes of the sentences and speakers: they depend neither on order nor on chance.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from transfer.data.manifest import Clip, Split
from transfer.data.text import scoring_form

_LARGEST_JUDGED_FAMILY = 12
"""A larger family of near copies would be most of a held-out set: it is trained on."""
_STOCK_PHRASE = 1000
"""Three words that stand in more sentences than this make none of them a copy of another."""


def split_by_text(
    clips: Sequence[Clip],
    *,
    held_out: float = 0.10,
    development: float = 0.08,
    fewest_held_out: int = 66,
    fewest_development: int = 30,
) -> list[Clip]:
    """Assign every clip a split so that no sentence, nor a near copy of it, is in two.

    Families of similar texts are ranked by a hash of their first member: the first are held out,
    the next are for development. The result depends on the texts alone, not on their order.

    Args:
        clips: of one language.
        held_out: share of the distinct sentences to judge by.
        development: share of them to choose the epoch and the lexicon's weights by.
        fewest_held_out: at least so many, as long as they are no more than a quarter.
        fewest_development: at least so many, as long as they are no more than an eighth.
    """
    texts = {scoring_form(clip.text, clip.language) for clip in clips}
    wanted = sizes(len(texts), held_out, development, fewest_held_out, fewest_development)
    split_of = split_texts(texts, wanted)
    return [replace(clip, split=split_of[scoring_form(clip.text, clip.language)]) for clip in clips]


def sizes(
    n_texts: int,
    held_out: float = 0.10,
    development: float = 0.08,
    fewest_held_out: int = 66,
    fewest_development: int = 30,
) -> dict[Split, int]:
    """How many distinct sentences to hold out and to develop on."""
    return {
        "held_out": min(max(math.ceil(held_out * n_texts), fewest_held_out), n_texts // 4),
        "development": min(max(math.ceil(development * n_texts), fewest_development), n_texts // 8),
    }


def split_texts(texts: Iterable[str], wanted: Mapping[Split, int]) -> dict[str, Split]:
    """The split of each distinct sentence: what is not `wanted` elsewhere is trained on."""
    families = sorted(families_of(sorted(texts)), key=lambda family: _hash(family[0]))
    left = dict(wanted)
    split_of: dict[str, Split] = {}
    for family in families:
        split: Split = "train"
        if len(family) <= _LARGEST_JUDGED_FAMILY:
            split = next((name for name, count in left.items() if count > 0), "train")
        if split != "train":
            left[split] -= len(family)
        split_of |= dict.fromkeys(family, split)
    return split_of


def families_of(texts: Sequence[str]) -> list[list[str]]:
    """Groups of distinct texts linked by sharing half of the shorter one's word trigrams."""
    holders = _Holders(texts)
    family_of = list(range(len(texts)))

    def first_of(text: int) -> int:
        while family_of[text] != text:
            family_of[text] = family_of[family_of[text]]
            text = family_of[text]
        return text

    for text in range(len(texts)):
        for other in holders.near_copies(text):
            first, second = sorted((first_of(text), first_of(other)))
            family_of[second] = first
    families: dict[int, list[str]] = {}
    for number, sentence in enumerate(texts):
        families.setdefault(first_of(number), []).append(sentence)
    return list(families.values())


class _Holders:
    """Which texts hold which trigram, as sorted arrays: millions of them fit in memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        keys, lengths = array("Q"), array("L")
        for text in texts:
            trigrams = _trigrams(text)
            keys.extend(trigrams)
            lengths.append(len(trigrams))
        self._lengths = np.array(lengths, np.int64)
        _, group, counts = np.unique(np.array(keys), return_inverse=True, return_counts=True)
        holder = np.repeat(np.arange(len(texts)), self._lengths)
        self._holders = holder[np.argsort(group, kind="stable")]
        self._groups = group
        self._first_group = np.concatenate([[0], np.cumsum(self._lengths)])
        self._first_holder = np.concatenate([[0], np.cumsum(counts)])
        self._telling = (counts > 1) & (counts <= _STOCK_PHRASE)

    def near_copies(self, text: int) -> list[int]:
        """Later texts that share half of the trigrams, of whichever of the two has fewer."""
        groups = self._groups[self._first_group[text] : self._first_group[text + 1]]
        groups = groups[self._telling[groups]]
        if not len(groups):
            return []
        first = self._first_holder
        found = [self._holders[first[group] : first[group + 1]] for group in groups]
        others, shared = np.unique(np.concatenate(found), return_counts=True)
        fewer = np.minimum(self._lengths[text], self._lengths[others])
        copies: list[int] = others[(2 * shared >= fewer) & (others > text)].tolist()
        return copies


def _trigrams(text: str) -> set[int]:
    """Numbers of 64 bits that stand for the three words in a row."""
    words = text.split()
    phrases = (" ".join(three) for three in zip(words, words[1:], words[2:], strict=False))
    return {int.from_bytes(_hash(phrase)[:8]) for phrase in phrases}


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
