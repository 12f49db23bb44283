"""Edits, error rates, intervals and confusions on cases whose answers are known."""

from __future__ import annotations

import math
import random

import pytest

from speech.adapters.card import ErrorRate
from transfer.evaluation.scoring import (
    Confusion,
    Edits,
    Judged,
    Pair,
    accuracy,
    confusions,
    difference,
    judged,
    score,
)


@pytest.mark.parametrize(
    ("said", "heard", "edits"),
    [
        ("press one now", "press one now", Edits(0, 0, 0, 3)),
        ("press one now", "press won now", Edits(1, 0, 0, 3)),
        ("press one now", "press now", Edits(0, 0, 1, 3)),
        ("press one now", "press the one now", Edits(0, 1, 0, 3)),
        ("press one now", "", Edits(0, 0, 3, 3)),
        ("press one", "oh press won if you", Edits(1, 3, 0, 2)),
        ("one two three four five", "two tree four six five", Edits(1, 1, 1, 5)),
    ],
)
def test_edits_of_words(said: str, heard: str, edits: Edits) -> None:
    assert Edits.of(Judged(said, heard).words()) == edits


def test_edits_of_characters_count_spaces() -> None:
    found = score([Judged("to day", "today")])
    assert found.characters == Edits(0, 0, 1, 6)
    assert found.words == Edits(1, 0, 1, 2)
    assert found.cer.value == round(1 / 6, 4)


def test_what_stands_opposite_what() -> None:
    assert Judged("press one now", "the press won").words() == [
        Pair("", "the"),
        Pair("press", "press"),
        Pair("one", "won"),
        Pair("now", ""),
    ]


def test_both_sides_are_brought_to_one_form() -> None:
    assert judged("Press one-two, now!", "press 1 two now", "en") == Judged(
        "press one two now", "press one two now"
    )


def test_error_rates_count_over_all_words_not_over_clips() -> None:
    clips = [Judged("a b c d e f g h i j", "a b c d e f g h i j"), Judged("a", "b")]
    assert score(clips).wer.value == round(1 / 11, 4)
    assert accuracy(clips).wer == score(clips).wer


def test_words_never_said_can_make_more_than_all_wrong() -> None:
    assert score([Judged("a", "b c d")]).wer.value == 3.0


def test_an_empty_reference_adds_insertions_alone() -> None:
    assert score([Judged("", "a b"), Judged("a b", "a b")]).wer.value == 1.0


def test_one_clip_has_no_interval() -> None:
    assert score([Judged("a b", "a c")]).wer == ErrorRate(0.5, 0.5, 0.5)


def test_the_interval_is_that_of_the_binomial() -> None:
    """400 clips of one word, each wrong with probability 0.3: sqrt(p q / n) is known."""
    chance = random.Random(0)
    clips = [Judged("a", "b" if chance.random() < 0.3 else "a") for _ in range(400)]
    wer = score(clips).wer
    deviation = math.sqrt(wer.value * (1 - wer.value) / 400)
    assert wer.low == pytest.approx(wer.value - 1.96 * deviation, abs=0.006)
    assert wer.high == pytest.approx(wer.value + 1.96 * deviation, abs=0.006)


def test_the_same_clips_have_the_same_interval() -> None:
    clips = [Judged("a b", "a b" if number % 3 else "b") for number in range(20)]
    assert score(clips) == score(clips)
    assert score(clips, seed=1).wer != score(clips).wer


def test_a_small_difference_on_every_clip_is_real() -> None:
    """Clips differ far more from each other than the paths do: only pairs can tell."""
    ours, others = [], []
    for number in range(40):
        said = " ".join("abcdefghij")
        wrong = number % 10
        ours.append(Judged(said, " ".join("x" * wrong + "abcdefghij"[wrong:])))
        others.append(Judged(said, " ".join("x" * (wrong + 1) + "abcdefghij"[wrong + 1 :])))
    found = difference(ours, others)
    assert found.wer == ErrorRate(-0.1, -0.1, -0.1)
    assert found.real
    assert score(ours).wer.high > score(others).wer.low
    assert found.ratio is not None
    assert found.ratio.value == round(0.45 / 0.55, 4)
    assert found.ratio.low < found.ratio.value < found.ratio.high


def test_chance_is_not_called_real() -> None:
    chance = random.Random(1)
    ours, others = (
        [Judged("a b", "a b" if chance.random() < 0.5 else "a c") for _ in range(60)]
        for _ in range(2)
    )
    found = difference(ours, others)
    assert found.wer.low < 0 < found.wer.high
    assert not found.real


def test_chance_is_called_real_about_once_in_twenty() -> None:
    chance = random.Random(2)
    real = 0
    for _ in range(100):
        ours, others = (
            [Judged("a", "a" if chance.random() < 0.5 else "b") for _ in range(50)]
            for _ in range(2)
        )
        real += difference(ours, others).real
    assert 0 <= real <= 12


def test_a_difference_on_one_clip_is_not_called_real() -> None:
    assert not difference([Judged("a", "a")], [Judged("a", "b")]).real


def test_no_ratio_to_a_path_without_errors() -> None:
    found = difference([Judged("a", "b")] * 3, [Judged("a", "a")] * 3)
    assert found.ratio is None
    assert (found.wer.value, found.real) == (1.0, True)


def test_confusions_are_counted_and_ranked() -> None:
    aligned = [
        Judged("un due tre", "una due tre").words(),
        Judged("un due tre", "una due").words(),
        Judged("uno due", "uno e due").words(),
    ]
    assert confusions(aligned) == (
        Confusion("un", "una", 2),
        Confusion("", "e", 1),
        Confusion("tre", "", 1),
    )
    assert confusions(aligned, most=1) == (Confusion("un", "una", 2),)


def test_confused_characters_include_the_space() -> None:
    found = confusions([Judged("a la", "ala").characters()])
    assert found == (Confusion(" ", "", 1),)
