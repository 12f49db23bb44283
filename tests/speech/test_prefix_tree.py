"""Flat arrays hold the same words as a tree of dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.ctc.prefix_tree import NO_WORD, ROOT, PrefixTree

Spelling = tuple[int, ...]

spellings = st.lists(st.integers(0, 300), min_size=1, max_size=5).map(tuple)
worded = st.dictionaries(spellings, st.floats(-8, -1, width=32), max_size=25)


def walked(tree: PrefixTree) -> dict[Spelling, tuple[int, float]]:
    """Path → word and best score, of every node but the root."""
    found = {}
    pending: list[tuple[Spelling, int]] = [((), ROOT)]
    while pending:
        path, node = pending.pop()
        _, children = tree.children(np.array([node]))
        for child in children.tolist():
            below = (*path, int(tree.symbol[child]))
            assert below not in found
            found[below] = (int(tree.word[child]), float(tree.best[child]))
            pending.append((below, child))
    return found


@given(worded)
@settings(deadline=None)
def test_every_beginning_of_every_word_is_one_node(words: dict[Spelling, float]) -> None:
    expected = {}
    for spelling in words:
        for end in range(1, len(spelling) + 1):
            path = spelling[:end]
            best = max(score for word, score in words.items() if word[:end] == path)
            number = list(words).index(path) if path in words else NO_WORD
            expected[path] = (number, best)
    tree = PrefixTree.of(list(words), list(words.values()))
    assert walked(tree) == expected
    assert len(tree) == len(expected) + 1
    assert [tree.find(spelling) for spelling in words] == list(range(len(words)))


@given(worded, spellings)
@settings(deadline=None)
def test_only_whole_words_are_found(words: dict[Spelling, float], other: Spelling) -> None:
    tree = PrefixTree.of(list(words), list(words.values()))
    assert (tree.find(other) == NO_WORD) == (other not in words)
    assert tree.find(()) == NO_WORD


def test_children_of_many_nodes_are_found_at_once() -> None:
    tree = PrefixTree.of([(1,), (1, 2), (1, 3), (4,)], [-1.0, -2.0, -3.0, -4.0])
    parent, child = tree.children(np.array([2, ROOT, 1, 1]))
    symbols = tree.symbols(child).tolist()
    assert list(zip(parent.tolist(), symbols, strict=True)) == [
        (1, 1), (1, 4), (2, 2), (2, 3), (3, 2), (3, 3),
    ]  # fmt: skip


def test_a_word_without_spelling_is_nowhere() -> None:
    lengths = np.array([1, 0, 2], np.int64)
    tree = PrefixTree.of_arrays(np.array([1, 2, 1], np.int16), lengths, np.zeros(3, np.float32))
    assert (tree.find([1]), tree.find([2, 1])) == (0, 2)
    assert len(tree) == 4


@pytest.mark.parametrize("n_word", [0, 1])
def test_few_words_are_a_tree_too(n_word: int) -> None:
    tree = PrefixTree.of([(3, 3)] * n_word, [-1.0] * n_word)
    assert len(tree) == 1 + 2 * n_word
    assert tree.scores(np.array([ROOT])).tolist() == [0.0]
