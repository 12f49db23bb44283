"""Normalisation, as a table."""

from __future__ import annotations

import pytest

from transfer.data.repair import mend_question_marks, restore_accents
from transfer.data.text import normalise, scoring_form, spell_digits, transcript, unreadable
from transfer.lexicon.words import words_of


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
        ("en", "ex\u00adample\u200b", "example"),
        ("ro", "Ştiinţă şi ǎsta; „Fără”", "știință și ăsta fără"),
        ("ro", "Mănâncă-ți!", "mănâncă-ți"),
        (
            "ca",
            "L’al·lota: una libèl•lula i un goril.la.",
            "l'al·lota una libèl·lula i un goril·la",
        ),
        ("ca", "Un portaŀlàpis. El·la lluna · plena", "un portal·làpis el·la lluna plena"),
        ("el", "ΟΔΥΣΣΕΑΣ, πού είσαι;", "οδυσσεας πού είσαι"),
        ("el", "Σ' αγαπώ απ’ όλα· «ό,τι»", "σ' αγαπώ απ' όλα ότι"),
        ("el", "ο κόσμοσ ςήμερα 'κόσμος'", "ο κόσμος σήμερα κόσμος"),
        ("el", "Μαϊού, προϋπάρχω", "μαϊού προϋπάρχω"),
        ("be", "Камп’ютар — гэта ЎСЁ, З'ява", "камп'ютар гэта ўсё з'ява"),
        ("bg", "„Ѝ“ каза: Ела!", "ѝ каза ела"),
        ("da", "»Påfugle« (én), Ærø-øen", "påfugle én ærø-øen"),
        ("tr", "IŞIK İstanbul", "ışık istanbul"),
        ("fa", "می\u200cخواهم.", "می\u200cخواهم"),
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
        ("be", "лічба 7", "лічба сем"),
        ("bg", "числото 0", "числото нула"),
        ("ca", "el nombre 8", "el nombre vuit"),
        ("da", "formel 1", "formel en"),
        ("el", "ο αριθμός 4;", "ο αριθμός τέσσερα;"),
        ("ro", "cifra 6", "cifra șase"),
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
        ("ru", "талисман linux", "another script"),
        ("el", "καλημέρα", None),
        ("ca", "libèl·lula", None),
        ("ca", "schön", "foreign letters"),
        ("de", "schön", None),
        ("de", "größe ∑", "digits or symbols"),
        ("ja", "東京 abc", "another script"),
        ("fa", "می\u200cخواهم", None),
        ("ro", "9-a planetă", "digits or symbols"),
    ],
)
def test_unreadable(language: str, text: str, reason: str | None) -> None:
    assert unreadable(text, language) == reason


@pytest.mark.parametrize(
    ("language", "written", "expected"),
    [
        ("ca", "Tinc 3 gats, 2 noies", "Tinc tres gats, 2 noies"),
        ("ca", "línia 2.", "línia dos."),
        ("ro", "a 9-a planetă", "a 9-a planetă"),
        ("da", "den 9. planet", "den 9. planet"),
        ("da", "bus 9. Den kører", "bus ni. Den kører"),
        ("el", "3 γάτες, 5 γάτες", "3 γάτες, πέντε γάτες"),
        ("en", "1 cat", "one cat"),
    ],
)
def test_certain_digits_have_one_reading(language: str, written: str, expected: str) -> None:
    assert spell_digits(written, language, certain=True) == expected


def test_a_transcript_is_repaired_and_normalised() -> None:
    assert transcript("Oικόσιτο γουρούνι 5;", "el") == "οικόσιτο γουρούνι πέντε"


def test_accents_come_back_only_where_one_spelling_is_far_commoner() -> None:
    assert restore_accents("El numero esta ocupado", "es") == "El número esta ocupado"


def test_only_missing_accents_come_back_where_accents_tell_words_apart() -> None:
    text = "Dupa in pană"
    assert normalise(restore_accents(text, "ro", only_missing=True), "ro") == "după în pană"


def test_question_marks_inside_a_text_are_lost_letters() -> None:
    assert mend_question_marks("Riprova pi? tardi?", "it") == "Riprova più tardi?"
    assert mend_question_marks("La conferenza ? piena.", "it") == "La conferenza è piena."


def test_the_lexicon_cuts_after_elisions_only_where_a_language_elides() -> None:
    assert words_of("l'homme d'aujourd'hui", "fr") == ["l'", "homme", "d'", "aujourd'", "hui"]
    assert words_of("it's", "en") == ["it's"]
