"""Words as paths through a tree of CTC classes, kept in flat arrays: 30 to 40 bytes a word.

Nodes are numbered level by level, so that the children of a node stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

ROOT = 0
NO_WORD = -1


@dataclass(frozen=True)
class PrefixTree:
    """A tree of words; node 0 is its root.

    Attributes:
        symbol: int16 `[n_node]`, the class that leads to a node; -1 for the root.
        first_child: int32 `[n_node + 1]`; the children of `i` are `first_child[i]` up to, not
            with, `first_child[i + 1]`.
        word: int32 `[n_node]`, number of the word that a node completes, or `NO_WORD`.
        best: float32 `[n_node]`, the best score of all words that pass through a node; 0 for the
            root, where nothing is known of the next word yet.
    """

    symbol: npt.NDArray[np.int16]
    first_child: npt.NDArray[np.int32]
    word: npt.NDArray[np.int32]
    best: Floats

    def __len__(self) -> int:
        """Nodes, the root among them."""
        return len(self.symbol)

    @property
    def n_bytes(self) -> int:
        """Memory it takes."""
        return self.symbol.nbytes + self.first_child.nbytes + self.word.nbytes + self.best.nbytes

    @classmethod
    def of(cls, spellings: Sequence[Sequence[int]], scores: Sequence[float]) -> PrefixTree:
        """The tree of distinct spellings, `[n_word][n_symbol]` classes each, and their scores."""
        lengths = np.array([len(spelling) for spelling in spellings], np.int64)
        symbols = np.array([symbol for spelling in spellings for symbol in spelling], np.int16)
        return cls.of_arrays(symbols, lengths, np.array(scores, np.float32))

    @classmethod
    def of_arrays(cls, symbols: npt.NDArray[np.int16], lengths: Ints, scores: Floats) -> PrefixTree:
        """The same of all spellings end to end.

        Args:
            symbols: int16 `[n_symbol]`.
            lengths: int64 `[n_word]`; a word of length 0 is on no path.
            scores: float32 `[n_word]`.
        """
        table, numbers = _in_order(symbols, lengths)
        depth = lengths[numbers]
        shared = _shared_with_previous(table)
        symbol, word = [np.full(1, -1, np.int16)], [np.full(1, NO_WORD, np.int32)]
        best, n_children = [np.zeros(1, np.float32)], []
        above, n_above = np.zeros(len(numbers), np.int64), 1
        for level in range(table.shape[1]):
            deep = depth > level
            opens = deep & (shared <= level)
            node, n_node = np.cumsum(opens) - 1, int(opens.sum())
            ends = depth == level + 1
            words_here = np.full(n_node, NO_WORD, np.int32)
            words_here[node[ends]] = numbers[ends]
            best_here = np.full(n_node, -np.inf, np.float32)
            np.maximum.at(best_here, node[deep], scores[numbers[deep]])
            symbol.append(table[opens, level])
            word.append(words_here)
            best.append(best_here)
            n_children.append(np.bincount(above[opens], minlength=n_above))
            above, n_above = node, n_node
        n_children.append(np.zeros(n_above, np.int64))
        first_child = 1 + np.cumsum(np.concatenate([[0], *n_children]))
        return cls(
            np.concatenate(symbol),
            first_child.astype(np.int32),
            np.concatenate(word),
            np.concatenate(best),
        )

    def children(self, nodes: Ints) -> tuple[Ints, Ints]:
        """All children of some nodes.

        Returns:
            For each child the index into `nodes` of its parent, and its number; int64 `[n_child]`.
        """
        first = self.first_child[nodes].astype(np.int64)
        count = self.first_child[nodes + 1] - first
        parent = np.repeat(np.arange(len(nodes)), count)
        # Counts up from 0 for every parent.
        within = np.arange(len(parent)) - np.repeat(np.cumsum(count) - count, count)
        return parent, first[parent] + within

    def symbols(self, nodes: Ints) -> Ints:
        """The class that leads to each node, int64 `[n]`."""
        return self.symbol[nodes].astype(np.int64)

    def words(self, nodes: Ints) -> Ints:
        """The word that each node completes, or `NO_WORD`, int64 `[n]`."""
        return self.word[nodes].astype(np.int64)

    def scores(self, nodes: Ints) -> Floats:
        """The best score of the words through each node, float32 `[n]`."""
        return self.best[nodes]

    def find(self, spelling: Sequence[int]) -> int:
        """The word with a spelling, or `NO_WORD`."""
        node = ROOT
        for symbol in spelling:
            first, end = self.first_child[node : node + 2].tolist()
            found = np.flatnonzero(self.symbol[first:end] == symbol)
            if not len(found):
                return NO_WORD
            node = first + int(found[0])
        return int(self.word[node])


def _in_order(symbols: npt.NDArray[np.int16], lengths: Ints) -> tuple[npt.NDArray[np.int16], Ints]:
    """Spellings in order, int16 `[n_word, n_longest]` filled up with -1, and their numbers."""
    longest = max(1, int(lengths.max(initial=0)))
    table = np.full((len(lengths), longest), -1, np.int16)
    table[np.arange(longest) < lengths[:, None]] = symbols
    # Bytes compare as the classes do if the highest comes first; -1 becomes the lowest.
    keys = (table + 1).astype(">u2").view(f"S{2 * longest}")[:, 0]
    order = np.argsort(keys, kind="stable")
    order = order[lengths[order] > 0]
    return table[order], order


def _shared_with_previous(table: npt.NDArray[np.int16]) -> Ints:
    """int64 `[n_word]`: how many first symbols each spelling shares with the one before it."""
    shared = np.zeros(len(table), np.int64)
    differs = table[1:] != table[:-1]
    shared[1:] = np.where(differs.any(axis=1), differs.argmax(axis=1), table.shape[1])
    return shared
