"""A small tree beside a large one is one tree; a model over a model boosts some words."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.ctc.arpa import read_arpa
from speech.ctc.boosting import BOOST, UNKNOWN_BOOSTED, BoostedTree, boost
from speech.ctc.prefix_tree import ROOT, PrefixTree

Spelling = tuple[int, ...]

ARPA = b"""\\data\\
ngram 1=3

\\1-grams:
-1\ta\t-0.5
-2\tb
-1.5\t</s>

\\2-grams:
-0.3\ta b

\\end\\
"""
spellings = st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple)
worded = st.dictionaries(spellings, st.floats(-8, -1, width=32), max_size=12)


def paths(tree: PrefixTree | BoostedTree) -> list[tuple[Spelling, int, float]]:
    """Every node but the root: its path, word and score."""
    found = []
    pending: list[tuple[Spelling, int]] = [((), ROOT)]
    while pending:
        path, node = pending.pop()
        _, child = tree.children(np.array([node]))
        numbers = zip(
            child.tolist(),
            tree.symbols(child).tolist(),
            tree.words(child).tolist(),
            tree.scores(child).tolist(),
            strict=True,
        )
        for number, symbol, word, score in numbers:
            found.append(((*path, symbol), word, score))
            pending.append(((*path, symbol), number))
    return sorted(found)


@given(worded, worded)
@settings(deadline=None, max_examples=60)
def test_both_trees_are_walked_from_one_root(
    plain: dict[Spelling, float], own: dict[Spelling, float]
) -> None:
    first = PrefixTree.of(list(plain), list(plain.values()))
    second = PrefixTree.of(list(own), list(own.values()))
    assert paths(BoostedTree(first, second)) == sorted([*paths(first), *paths(second)])


def test_known_words_keep_their_number_and_new_ones_get_theirs() -> None:
    _, model = read_arpa(ARPA)
    tree = PrefixTree.of([(1,), (2,)], model.unigram[:2].tolist())
    boosted, likelier = boost(tree, model, [(2,), (2, 3), ()])
    n_plain = len(tree)
    _, child = boosted.children(np.array([ROOT]))
    assert sorted(boosted.words(child).tolist()) == [0, 1, 1]  # `b` in both
    last = np.array([n_plain + 2], np.int64)
    assert boosted.symbols(last).tolist() == [3]
    assert boosted.words(last).tolist() == [model.n_word + 1]
    assert boosted.scores(last).tolist() == [UNKNOWN_BOOSTED + BOOST]
    assert paths(tree) == [((1,), 0, -1.0), ((2,), 1, -2.0)]  # as it was

    start = np.full(3, model.start, np.int64)
    words = np.array([0, 1, model.n_word + 1], np.int64)
    scores, following = likelier.score(start, words)
    plain, after = model.score(start[:2], words[:2])
    assert scores.tolist() == [plain[0], plain[1] + BOOST, UNKNOWN_BOOSTED + BOOST]
    assert following.tolist() == [*after.tolist(), 0]


def test_a_boosted_pair_keeps_its_pair() -> None:
    _, model = read_arpa(ARPA)
    tree = PrefixTree.of([(1,), (2,)], model.unigram[:2].tolist())
    _, likelier = boost(tree, model, [(2,)])
    _, after_a = model.score(np.array([model.start]), np.array([0]))
    score, _ = likelier.score(after_a, np.array([1]))
    np.testing.assert_allclose(score, [-0.3 + BOOST], atol=1e-6)


def test_nothing_to_boost_changes_nothing() -> None:
    _, model = read_arpa(ARPA)
    tree = PrefixTree.of([(1,), (2,)], model.unigram[:2].tolist())
    boosted, likelier = boost(tree, model, [])
    assert paths(boosted) == paths(tree)
    words = np.arange(model.n_word)
    states = np.full(model.n_word, model.start)
    assert likelier.score(states, words)[0].tolist() == model.score(states, words)[0].tolist()
