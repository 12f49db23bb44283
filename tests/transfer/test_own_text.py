"""Text and words that a user adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InvalidRequest
from transfer.lexicon.own_text import MAX_BYTES, MOST_WORDS, read_sentences, read_words


def test_sentences_end_with_their_line_or_punctuation(tmp_path: Path) -> None:
    file = tmp_path / "more.txt"
    file.write_text("\ufeffPremi uno. Grazie!\n\n  L’uomo, disse\nPremi uno\n", encoding="utf-8")
    found = read_sentences(file, "it")
    assert found.kept == ("premi uno", "grazie", "l'uomo disse")
    assert (found.n_unreadable, found.n_judged) == (0, 0)


def test_what_cannot_be_read_aloud_is_left_out_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "more.txt"
    file.write_text("Premi 1.\nIl 12 maggio\nдобрый день\nciao a tutti\n", encoding="utf-8")
    found = read_sentences(file, "it")
    assert found.kept == ("premi uno", "ciao a tutti")
    assert found.n_unreadable == 2


def test_a_judged_sentence_is_never_learnt(tmp_path: Path) -> None:
    file = tmp_path / "more.txt"
    file.write_text("Dix-sept chats.\nUn chien.\n", encoding="utf-8")
    found = read_sentences(file, "fr", judged=["dix sept chats"])
    assert found.kept == ("un chien",)
    assert found.n_judged == 1


def test_words_are_one_or_several_a_line(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("Rossi\nDe Luca, Bianchi\n3M\nRossi\n" + "x" * 40 + "\n", encoding="utf-8")
    found = read_words(file, "it")
    assert found.kept == ("rossi", "de", "luca", "bianchi")
    assert found.n_unreadable == 2


@pytest.mark.parametrize("read", [read_sentences, read_words])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no"),
        (b" \n\n ...\n", "holds no"),
        (b"12 34\n", "holds no"),
        ("привет\n".encode(), "holds no"),
        ("città\n".encode("latin-1"), "UTF-8"),
        (b"a\0b\n", "not a text file"),
        ("ciao\n".encode("utf-16"), "UTF-8"),
    ],
)
def test_bad_files_get_one_clear_line(
    tmp_path: Path, read: type, content: bytes, said: str
) -> None:
    file = tmp_path / "more.txt"
    file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=said) as raised:
        read(file, "it")
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("read", [read_sentences, read_words])
def test_a_missing_or_huge_file_is_refused(tmp_path: Path, read: type) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path / "none.txt", "it")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path, "it")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidRequest, match="the limit is"):
        read(tmp_path / "huge.txt", "it")


def test_too_many_words_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = (f"{a}{b}{c}{d}" for a in letters for b in letters for c in letters for d in "abc")
    file.write_text("\n".join(names), encoding="utf-8")
    with pytest.raises(InvalidRequest, match=str(MOST_WORDS)):
        read_words(file, "it")
