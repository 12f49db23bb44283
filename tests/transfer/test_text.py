"""Normalisation, as a table."""

from __future__ import annotations

import pytest

from transfer.lexicon import words_of
from transfer.text import (
    mend_question_marks,
    normalise,
    restore_accents,
    scoring_form,
    spell_digits,
    unreadable,
)


@pytest.mark.parametrize(
    ("language", "written", "expected"),
    [
        ("en", "It’s  busy… NOW!", "it's busy now"),
        ("en", "'quoted' - well-known", "quoted well-known"),
        ("fr", "L’homme, dit-il.", "l'homme dit-il"),
        ("fr", "«Noe\u0308l»", "noël"),
        ("it", "Un po' d'acqua.", "un po' d'acqua"),
        ("es", "¿Dónde está?", "dónde está"),
        ("ru", "Нажмите «решётку».", "нажмите решетку"),
        ("en", "...", ""),
    ],
)
def test_normalise(language: str, written: str, expected: str) -> None:
    assert normalise(written, language) == expected
    assert normalise(expected, language) == expected


def test_scoring_form_does_not_judge_hyphens() -> None:
    assert scoring_form("dix-sept", "fr") == scoring_form("Dix sept.", "fr")


@pytest.mark.parametrize(
    ("language", "written", "expected"),
    [
        ("en", "press 1, then 2.", "press one, then two."),
        ("en", "dial 500 or 28.8 in 3D", "dial 500 or 28.8 in 3D"),
        ("ru", "нажмите 0", "нажмите ноль"),
        ("xx", "press 1", "press 1"),
    ],
)
def test_only_lone_digits_are_spelt(language: str, written: str, expected: str) -> None:
    assert spell_digits(written, language) == expected


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        ("en", "all circuits are busy", None),
        ("en", "dial 500", "digits or symbols"),
        ("en", "b", "single letter"),
        ("en", "", "empty text"),
        ("ru", "талисман linux", "foreign letters"),
        ("el", "καλημέρα", None),
    ],
)
def test_unreadable(language: str, text: str, reason: str | None) -> None:
    assert unreadable(text, language) == reason


def test_accents_come_back_only_where_one_spelling_is_far_commoner() -> None:
    assert restore_accents("El numero esta ocupado", "es") == "El número esta ocupado"


def test_question_marks_inside_a_text_are_lost_letters() -> None:
    assert mend_question_marks("Riprova pi? tardi?", "it") == "Riprova più tardi?"
    assert mend_question_marks("La conferenza ? piena.", "it") == "La conferenza è piena."


def test_the_lexicon_cuts_after_elisions_only_where_a_language_elides() -> None:
    assert words_of("l'homme d'aujourd'hui", "fr") == ["l'", "homme", "d'", "aujourd'", "hui"]
    assert words_of("it's", "en") == ["it's"]
