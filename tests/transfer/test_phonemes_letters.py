"""Which letters write which phonemes: alignments that are known, and those of real spelling."""

from __future__ import annotations

import pytest

from transfer.phonemes.g2p import open_g2p
from transfer.phonemes.letters import align, letter_sounds, words_with_phonemes

SPANISH = (
    "la casa del chico que come queso y hace mucho ruido en la calle",
    "cien perros corren cerca del coche hoy por la mañana",
    "ahora hay once hombres aquí con sus hijos y su guitarra",
    "el cielo es azul y la noche es oscura cuando no hay luna",
)


def test_one_letter_one_phoneme() -> None:
    found = align([("ab", ("x", "y")), ("ba", ("y", "x")), ("aab", ("x", "x", "y"))])
    assert found == {"a": {"x": 1.0}, "b": {"y": 1.0}}


def test_a_silent_letter_writes_nothing() -> None:
    plain = [("ab", ("a", "b")), ("ba", ("b", "a")), ("abab", ("a", "b", "a", "b"))]
    found = align([*plain, ("hab", ("a", "b")), ("bah", ("b", "a")), ("hba", ("b", "a"))])
    assert sum(found["h"].values()) < 0.3
    assert found["a"]["a"] > 0.9
    assert found["b"]["b"] > 0.9


def test_a_letter_may_write_two() -> None:
    words = [
        ("ax", ("a", "k", "s")),
        ("xa", ("k", "s", "a")),
        ("oxo", ("o", "k", "s", "o")),
        ("oa", ("o", "a")),
    ]
    found = align(words)
    assert found["x"] == pytest.approx({"k": 1.0, "s": 1.0}, abs=0.02)
    assert found["a"] == pytest.approx({"a": 1.0}, abs=0.02)


def test_spanish_spelling() -> None:
    found = letter_sounds(SPANISH, open_g2p("es"))
    assert max(found["q"], key=found["q"].__getitem__) == "k"
    assert list(found["ñ"]) == ["ɲ"]
    assert set(list(found["c"])[:2]) == {"k", "θ"}
    assert max(found["h"], key=found["h"].__getitem__) == "t͡ʃ"
    assert sum(found["h"].values()) < 0.6  # silent but for `ch`
    assert found["a"]["a"] > 0.9
    assert all(share >= 0.02 for shares in found.values() for share in shares.values())


def test_greek_and_belarusian_letters() -> None:
    greek = letter_sounds(["θάλασσα ψυχή ξένος φίλος λόγος έξω ψωμί θέλω"], open_g2p("el"))
    assert list(greek["θ"]) == ["θ"]
    assert set(greek["ξ"]) == {"k", "s"}
    assert set(greek["ψ"]) == {"p", "s"}
    belarusian = letter_sounds(["шапка чорны воўк быў шум мышы"], open_g2p("be"))
    assert list(belarusian["ш"]) == ["ʂ"]
    assert list(belarusian["ў"]) == ["w"]
    assert list(belarusian["ы"]) == ["ɨ"]


def test_the_same_texts_give_the_same_shares_in_any_order() -> None:
    g2p = open_g2p("es")
    assert letter_sounds(SPANISH, g2p) == letter_sounds(SPANISH[::-1] * 2, g2p)


def test_words_that_are_said_as_one_are_taken_apart() -> None:
    pairs = dict(words_with_phonemes(["one of the keys"], open_g2p("en")))
    assert pairs["keys"] == ("k", "iː", "z")
    assert pairs.keys() == {"one", "of", "the", "keys"}


def test_nothing_has_no_letters() -> None:
    assert letter_sounds([], open_g2p("es")) == {}
    assert align([("", ()), ("a", ())]) == {}
