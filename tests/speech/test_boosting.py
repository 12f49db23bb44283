"""A tree that shares most of its nodes equals one that was built whole."""

from __future__ import annotations

from itertools import product

import pytest
from flashlight.lib.text.decoder import SmearingMode, Trie
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.ctc.boosting import BoostedWord, boosted_tree

N_CLASS, SEPARATOR = 4, 0
Spelling = tuple[int, ...]
Words = dict[Spelling, float]
Node = tuple[set[tuple[int, float]], float]

spellings = st.lists(st.integers(1, N_CLASS - 1), min_size=1, max_size=4).map(
    lambda letters: (*letters, SEPARATOR)
)
scores = st.floats(-8, -1, width=32)
words = st.dictionaries(spellings, scores, max_size=12)


def built(entries: list[tuple[Spelling, int, float]]) -> Trie:
    tree = Trie(N_CLASS, SEPARATOR)
    for spelling, number, score in entries:
        tree.insert(list(spelling), number, score)
    tree.smear(SmearingMode.MAX)
    return tree


def nodes(tree: Trie) -> dict[Spelling, Node]:
    """All there is: labels with their scores, and the best score below."""
    found = {}
    for length in range(1, 6):
        for path in product(range(N_CLASS), repeat=length):
            if (node := tree.search(list(path))) is not None:
                labels = set(zip(node.labels, node.scores, strict=True))
                found[path] = (labels, node.max_score)
    return found


@given(words, words, st.data())
@settings(deadline=None, max_examples=60)
def test_shared_equals_built_whole(plain: Words, extra: Words, data: st.DataObject) -> None:
    numbered = [(spelling, number, score) for number, (spelling, score) in enumerate(plain.items())]
    known = data.draw(st.lists(st.sampled_from(numbered), unique=True)) if numbered else []
    # A known word grows likelier, and a new one joins.
    likelier = [(spelling, number, score + 2) for spelling, number, score in known]
    others = [pair for pair in extra.items() if pair[0] not in plain]
    new = [(spelling, 100 + i, score) for i, (spelling, score) in enumerate(others)]
    replaced = {number for _, number, _ in likelier}
    tree = built(numbered)
    before = nodes(tree)
    boosted = [BoostedWord(number, score, (path,)) for path, number, score in [*likelier, *new]]
    shared = boosted_tree(tree, N_CLASS, SEPARATOR, boosted)
    kept = [entry for entry in numbered if entry[1] not in replaced]
    assert nodes(shared) == nodes(built([*kept, *likelier, *new]))
    assert nodes(tree) == before


@pytest.mark.parametrize("spellings", [(), ((1, 0), (1,))])
def test_a_word_may_have_no_spelling_or_two(spellings: tuple[Spelling, ...]) -> None:
    plain = built([((2, 0), 0, -1.0)])
    shared = boosted_tree(plain, N_CLASS, SEPARATOR, [BoostedWord(7, -2.0, spellings)])
    found = {path: labels for path, (labels, _) in nodes(shared).items() if labels}
    assert found == {(2, 0): {(0, -1.0)}} | {path: {(7, -2.0)} for path in spellings}
