"""Which words a language has, and what they are worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer.data.corpora import LANGUAGES
from transfer.lexicon.words import (
    dictionary_words,
    find_dictionary,
    listed_words,
    sources,
    words_of,
)


@pytest.mark.parametrize(
    ("language", "text", "units"),
    [
        ("fr", "l'homme qu'il a vu", ["l'", "homme", "qu'", "il", "a", "vu"]),
        ("it", "un po' d'acqua", ["un", "po'", "d'", "acqua"]),
        ("en", "don't", ["don't"]),
        ("be", "сям'я", ["сям'я"]),
    ],
)
def test_a_language_that_elides_has_two_words_for_one(
    language: str, text: str, units: list[str]
) -> None:
    assert words_of(text, language) == units


def test_the_list_knows_what_is_common() -> None:
    listed = listed_words("da", training=["xyzzy", "b"])
    assert listed["hund"] > listed["næsehorn"] > 0
    assert "xyzzy" not in listed  # what it does not know it does not list
    assert "c" not in listed  # a letter is no word, unless it was said
    assert listed["b"] > 0
    assert sum(listed.values()) < 1.1


@pytest.mark.parametrize("language", ["be", "qu", "xx-none"])
def test_a_language_without_a_list_gets_no_other_languages_words(language: str) -> None:
    assert listed_words(language, training=[]) == {}


def test_a_language_without_a_dictionary_has_none(tmp_path: Path) -> None:
    assert find_dictionary("qu", tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_source_has_a_licence(language: str, tmp_path: Path) -> None:
    found = sources(language, tmp_path / "any")
    assert [each.source for each in found][-1] == ("wordfreq" if language == "it" else "dictionary")
    assert all(each.title and each.licence for each in found)
    assert [each.source for each in sources(language, None)] == (
        [] if language == "be" else ["wordfreq"]
    )


def test_words_of_a_dictionary_are_normalised_and_rated(tmp_path: Path) -> None:
    (tmp_path / "xx.aff").write_text("SET UTF-8\nSFX S Y 1\nSFX S 0 s .\n", encoding="utf-8")
    (tmp_path / "xx.dic").write_text("4\nRossi\nl’uomo\ncane/S\n3M\n", encoding="utf-8")
    letters = "abcdefghijklmnopqrstuvwxyz'"
    found = dictionary_words(tmp_path / "xx", "it", letters, training=["cane"])
    assert found.keys() == {"rossi", "l'", "uomo", "cane", "canes"}
    assert found["rossi"] == found["cane"] > found["canes"] > 0
