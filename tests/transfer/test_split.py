"""Splits by text: nothing is judged by what was learnt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transfer.data.manifest import Clip
from transfer.data.split import families_of, split_by_text
from transfer.data.text import scoring_form

CLIP = Clip("a.flac", "all circuits are busy now", "en", 2.0, "test", "someone")


def clips(count: int) -> list[Clip]:
    # Every sentence is spoken twice, once with other words around it: a near copy.
    texts = [f"sentence {_word(n)} about {_word(n + 7)} {_word(3 * n)}" for n in range(count)]
    spoken = [text for text in texts for _ in range(2)] + [f"now {text} please" for text in texts]
    return [replace(CLIP, text=text, speaker=str(n)) for n, text in enumerate(spoken)]


def _word(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number + 1000))


def test_no_text_nor_its_near_copy_is_in_two_splits() -> None:
    split = split_by_text(clips(200))
    texts: dict[str, set[str]] = {}
    for clip in split:
        texts.setdefault(clip.split, set()).add(scoring_form(clip.text, "en"))
    train, development, held_out = (texts[s] for s in ("train", "development", "held_out"))
    assert not train & development
    assert not train & held_out
    assert not development & held_out
    for text in held_out:
        assert text.removeprefix("now ").removesuffix(" please") not in train | development
    assert len(held_out) >= 60
    assert len(train) > len(held_out) > 0.09 * len(train)


def test_the_split_does_not_depend_on_order() -> None:
    forwards = {(c.text, c.split) for c in split_by_text(clips(100))}
    backwards = {(c.text, c.split) for c in split_by_text(clips(100)[::-1])}
    assert forwards == backwards


@pytest.mark.parametrize(
    ("n_sentences", "held_out", "development"),
    [(3, 0, 0), (8, 2, 1), (100, 25, 12), (300, 66, 30), (1000, 100, 80)],
)
def test_small_corpora_keep_enough_to_train_on(
    n_sentences: int, held_out: int, development: int
) -> None:
    texts = [f"{_word(n)} {_word(n + 1000)}" for n in range(n_sentences)]
    split = [clip.split for clip in split_by_text([replace(CLIP, text=t) for t in texts])]
    assert split.count("held_out") == held_out
    assert split.count("development") == development


def test_a_large_family_is_trained_on() -> None:
    menu = [f"press {_word(n)} to hear the news again" for n in range(30)]
    others = [f"{_word(n)} {_word(n + 500)} {_word(n + 900)}" for n in range(100)]
    split = split_by_text([replace(CLIP, text=text) for text in menu + others])
    assert {clip.split for clip in split if clip.text in menu} == {"train"}


def test_families_are_linked_by_half_of_the_shorter_ones_trigrams() -> None:
    one, longer, other = "a b c d e", "a b c d x y z", "c d e f g h"
    assert families_of(sorted([one, longer, other])) == [[one, longer], [other]]
    chain = ["a b c d", "b c d e", "c d e f"]
    assert families_of(chain) == [chain]
    assert families_of([]) == []
    assert families_of(["a", "b c"]) == [["a"], ["b c"]]
