"""Articulatory distances and classes, by facts of phonetics."""

from __future__ import annotations

import itertools

import pytest

from common.errors import InvalidRequest
from transfer.phonemes.articulation import articulatory_class, distance, nearest
from transfer.phonemes.chart import CLASS_OF, CLASSES


@pytest.mark.parametrize(
    ("phoneme", "among", "expected"),
    [
        ("y", "iua", "u"),  # rounded and high
        ("ø", "oia", "o"),
        ("ɯ", "ouaɨ", "ɨ"),
        ("θ", "sft", "s"),
        ("ʒ", ["ʃ", "z", "d͡ʒ"], "ʃ"),
        ("ɲ", "mnŋ", "ŋ"),
        ("t͡ɕ", ["t͡ʃ", "t", "s"], "t͡ʃ"),
        ("tʲ", "dtk", "t"),
        ("ã", "aoi", "a"),
        ("ɣ", "ɡxk", "x"),
        ("r", "ɾr", "r"),
    ],
)
def test_nearest(phoneme: str, among: list[str] | str, expected: str) -> None:
    found, away = nearest(phoneme, list(among))
    assert found == expected
    assert away == distance(phoneme, expected)


def test_a_distance_is_one() -> None:
    letters = sorted(CLASS_OF)
    for one, other in itertools.combinations(letters, 2):
        assert 0 <= distance(one, other) == distance(other, one) <= 1
    for one, other, third in [("p", "b", "a"), ("s", "t", "i"), ("m", "n", "l")]:
        assert distance(one, third) <= distance(one, other) + distance(other, third) + 1e-12


def test_marks_change_a_little() -> None:
    assert 0 < distance("t", "tʰ") < distance("t", "s") < distance("t", "a")
    assert distance("a", "aː") > 0
    assert distance("e", "e̞") == 0  # lowered: no feature says so
    assert distance("ç", "c\u0327") == 0  # two ways to type it


def test_an_affricate_that_the_table_lacks_is_near_one_that_it_has() -> None:
    assert nearest("t͡x", ["t", "x", "t͡s"])[0] == "t͡s"


@pytest.mark.parametrize(
    ("phoneme", "expected"),
    [
        ("tʲ", "plosive"),
        ("ʔ", "plosive"),
        ("t͡ʃ", "affricate"),
        ("t͡l̥", "affricate"),
        ("ʃː", "fricative"),
        ("ɦ", "fricative"),
        ("n̩", "nasal"),
        ("ʎ", "lateral"),
        ("ɾ", "trill or tap"),
        ("ɹ", "approximant"),
        ("œ̃", "mid front vowel"),
        ("y", "high front vowel"),
        ("ə˞", "central vowel"),
        ("ɔː", "mid back vowel"),
        ("ɯ", "high back vowel"),
        ("ã", "low vowel"),
    ],
)
def test_classes(phoneme: str, expected: str) -> None:
    assert articulatory_class(phoneme) == expected
    assert expected in CLASSES


@pytest.mark.parametrize("text", ["", "7", "ʲ", "Ж"])
def test_what_is_no_phoneme_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no phoneme"):
        distance("a", text)
    with pytest.raises(InvalidRequest, match="no phoneme"):
        articulatory_class(text)
    with pytest.raises(InvalidRequest, match="nothing to choose"):
        nearest("a", [])
