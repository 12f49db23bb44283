"""Boosted phrases in a lexicon's search: words made likelier, also some that it does not know.

A set of phrases gets a small tree and a thin layer over the model; the language's own tree and
model, which are large, are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from speech.ctc.ngrams import NOTHING, NgramModel
from speech.ctc.prefix_tree import NO_WORD, ROOT, Floats, Ints, PrefixTree

_Array = TypeVar("_Array", bound=npt.NDArray[Any])

BOOST = 2.0
"""Added to the log10 probability of each word of a boosted phrase."""
UNKNOWN_BOOSTED = -5.0
"""The log10 probability of such a word, before that, where the model does not know it."""


@dataclass(frozen=True)
class BoostedTree:
    """A language's tree and a small one beside it, with the root in common.

    The nodes of the small one are numbered on from those of the large one.
    """

    plain: PrefixTree
    own: PrefixTree

    def __len__(self) -> int:
        """Numbers of nodes."""
        return len(self.plain) + len(self.own)

    def children(self, nodes: Ints) -> tuple[Ints, Ints]:
        """As of `PrefixTree`."""
        n_plain = len(self.plain)
        in_plain = np.flatnonzero(nodes < n_plain)
        in_own = np.flatnonzero((nodes == ROOT) | (nodes >= n_plain))
        parent, child = self.plain.children(nodes[in_plain])
        own = nodes[in_own]
        own_parent, own_child = self.own.children(np.where(own == ROOT, ROOT, own - n_plain))
        return (
            np.concatenate((in_plain[parent], in_own[own_parent])),
            np.concatenate((child, own_child + n_plain)),
        )

    def symbols(self, nodes: Ints) -> Ints:
        """As of `PrefixTree`."""
        return self._joined(nodes, self.plain.symbols, self.own.symbols)

    def words(self, nodes: Ints) -> Ints:
        """As of `PrefixTree`."""
        return self._joined(nodes, self.plain.words, self.own.words)

    def scores(self, nodes: Ints) -> Floats:
        """As of `PrefixTree`."""
        return self._joined(nodes, self.plain.scores, self.own.scores)

    def _joined(
        self, nodes: Ints, of_plain: Callable[[Ints], _Array], of_own: Callable[[Ints], _Array]
    ) -> _Array:
        n_plain = len(self.plain)
        own = nodes >= n_plain
        values = of_plain(np.where(own, ROOT, nodes))
        values[own] = of_own(nodes[own] - n_plain)
        return values


@dataclass(frozen=True)
class BoostedModel:
    """The language's model with some words made likelier, also words it does not know.

    Attributes:
        plain: the language's.
        boosted: int64 `[n_boosted]`, ascending: its words that are boosted. Words whose number is
            `plain.n_word` or more are boosted too; nothing is known of what follows them.
    """

    plain: NgramModel
    boosted: Ints

    @property
    def start(self) -> int:
        """The state before the first word."""
        return self.plain.start

    def score(self, states: Ints, words: Ints) -> tuple[Floats, Ints]:
        """As of `NgramModel`."""
        new = words >= self.plain.n_word
        scores, following = self.plain.score(states, np.where(new, 0, words))
        scores = np.where(new, UNKNOWN_BOOSTED, scores)
        scores += BOOST * (new | np.isin(words, self.boosted))
        return scores.astype(np.float32), np.where(new, NOTHING, following)

    def end(self, states: Ints) -> Floats:
        """As of `NgramModel`."""
        return self.plain.end(states)


def boost(
    tree: PrefixTree, model: NgramModel, spellings: Sequence[Sequence[int]]
) -> tuple[BoostedTree, BoostedModel]:
    """A tree and a model in which some words are likelier.

    Args:
        tree, model: of the language; they stay as they are.
        spellings: distinct, classes of each word; one without any is left out.
    """
    spelt = [tuple(spelling) for spelling in spellings if len(spelling)]
    known = [tree.find(spelling) for spelling in spelt]
    numbers = [
        model.n_word + index if number == NO_WORD else number for index, number in enumerate(known)
    ]
    scores = [
        BOOST + (UNKNOWN_BOOSTED if number == NO_WORD else float(model.unigram[number]))
        for number in known
    ]
    own = PrefixTree.of(spelt, scores)
    ends = own.word != NO_WORD
    word = own.word.copy()
    word[ends] = np.array(numbers, np.int32)[own.word[ends]]
    boosted = np.array(sorted(number for number in known if number != NO_WORD), np.int64)
    return BoostedTree(tree, replace(own, word=word)), BoostedModel(model, boosted)
