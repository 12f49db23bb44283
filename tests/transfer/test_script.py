"""Scripts of languages, and letters that are not of them."""

from __future__ import annotations

import pytest

from transfer.data.script import foreign_letters, mend_lookalikes, script_of


@pytest.mark.parametrize(
    ("language", "script"),
    [
        *(("be", "Cyrl"), ("ca", "Latn"), ("sr", "Cyrl"), ("sr-Latn", "Latn"), ("ja", "Jpan")),
        *(("am", "Ethi"), ("qaa", None)),
    ],
)
def test_the_usual_script(language: str, script: str | None) -> None:
    assert script_of(language) == script


@pytest.mark.parametrize(
    ("language", "text", "foreign"),
    [
        ("be", "з'яўляецца ў", ""),
        ("be", "талісман linux", "linux"),
        ("ca", "goril·la naïf", ""),
        ("ca", "гат", "гат"),
        ("ja", "東京はカナ、ひらがなー", ""),
        ("ja", "東京 tokyo", "toky"),
        ("ko", "한국어 漢字", ""),
        ("hi", "नमस्ते", ""),
        ("fa", "می‌خواهم", ""),
        ("sr-Latn", "добар dan", "добар"),
        ("qaa", "whatever где", ""),
        ("en", "a 1 - '", ""),
    ],
)
def test_letters_of_another_script(language: str, text: str, foreign: str) -> None:
    assert foreign_letters(text, language) == foreign


@pytest.mark.parametrize(
    ("language", "typed", "meant"),
    [
        ("el", "Oικόσιτο γουρούνι", "Οικόσιτο γουρούνι"),
        ("ru", "первoе", "первое"),
        ("be", "мiж", "між"),
        ("ru", "буква A и Tux", "буква A и Tux"),
        ("ru", "Linuxа", "Linuxа"),
        ("en", "cаt", "cаt"),
    ],
)
def test_lookalikes_are_retyped_in_mixed_words_only(language: str, typed: str, meant: str) -> None:
    assert mend_lookalikes(typed, language) == meant
