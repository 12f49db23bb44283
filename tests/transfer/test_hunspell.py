"""Dictionaries spelt out: constructed ones, and the Belarusian where it is unpacked."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer.lexicon.hunspell import BadDictionary, Form, forms

BELARUSIAN = Path("data/raw/usr/share/hunspell/be_BY")


def written(folder: Path, aff: str, dic: str, encoding: str = "utf-8") -> Path:
    (folder / "xx.aff").write_text(aff, encoding=encoding)
    (folder / "xx.dic").write_text(dic, encoding=encoding)
    return folder / "xx"


def spelt(folder: Path, aff: str, dic: str, encoding: str = "utf-8") -> set[str]:
    return {form.text for form in forms(written(folder, aff, dic, encoding))}


ENGLISH = """SET UTF-8
SFX S Y 3
SFX S y ies [^aeiou]y
SFX S 0 s [aeiou]y
SFX S 0 s [^sy]
SFX D Y 2
SFX D 0 d e
SFX D 0 ed [^e]
PFX U Y 1
PFX U 0 un .
PFX R N 1
PFX R 0 re .
"""


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("cat/S", {"cat", "cats"}),
        ("party/S", {"party", "parties"}),
        ("day/S", {"day", "days"}),
        ("bus/S", {"bus"}),  # no line of the rule fits
        ("like/DU", {"like", "liked", "unlike", "unliked"}),
        ("do/DR", {"do", "doed", "redo"}),  # a prefix that does not cross
        ("cat", {"cat"}),
        ("cat/QZ", {"cat"}),  # flags of no rule
        ("and\\/or/S", {"and/or", "and/ors"}),
        ("cat/S po:noun", {"cat", "cats"}),
        ("cat\tpo:noun", {"cat"}),
    ],
)
def test_forms_of_a_stem(tmp_path: Path, entry: str, expected: set[str]) -> None:
    assert spelt(tmp_path, ENGLISH, f"1\n{entry}\n") == expected


def test_a_form_says_how_it_was_made(tmp_path: Path) -> None:
    made = set(forms(written(tmp_path, ENGLISH, "1\nparty/SU\n")))
    assert made == {
        Form("party", ""),
        Form("parties", "SFX S -y +ies"),
        Form("unparty", "PFX U - +un"),
        Form("unparties", "SFX S -y +ies PFX U - +un"),
    }


def test_a_suffix_may_take_another_but_no_third(tmp_path: Path) -> None:
    aff = "SET UTF-8\nSFX A Y 1\nSFX A 0 ab/A .\n"
    assert spelt(tmp_path, aff, "1\nx/A\n") == {"x", "xab", "xabab"}


def test_a_suffix_and_a_prefix_may_share_a_flag(tmp_path: Path) -> None:
    aff = "SET UTF-8\nSFX o Y 1\nSFX o 0 o .\nPFX o Y 1\nPFX o 0 auto .\n"
    assert spelt(tmp_path, aff, "1\nx/o\n") == {"x", "xo", "autox", "autoxo"}


def test_what_is_no_word_alone_is_left_out(tmp_path: Path) -> None:
    aff = (
        "SET UTF-8\nNEEDAFFIX N\nFORBIDDENWORD F\nONLYINCOMPOUND C\n"
        "SFX S Y 1\nSFX S 0 s .\nSFX P Y 1\nSFX P 0 part/C .\n"
    )
    assert spelt(tmp_path, aff, "4\nroot/NS\nbad/FS\nglue/CS\nword/P\n") == {"roots", "word"}


def test_words_that_lean_on_others_are_two_words(tmp_path: Path) -> None:
    aff = "SET UTF-8\nPFX L Y 1\nPFX L h l'h h\nSFX M Y 1\nSFX M r r-me r\nSFX V Y 1\nSFX V r t r\n"
    assert spelt(tmp_path, aff, "2\nhome/L\ndonar/MV\n") == {"home", "donar", "donat"}


@pytest.mark.parametrize(
    ("flags", "aff"),
    [
        ("AaBb", "FLAG long\nSFX Bb Y 1\nSFX Bb 0 s .\n"),
        ("7,1200", "FLAG num\nSFX 1200 Y 1\nSFX 1200 0 s .\n"),
        ("2", "AF 2\nAF Q\nAF QS\nSFX S Y 1\nSFX S 0 s .\n"),
        ("2", "FLAG num\nAF 2\nAF 7\nAF 7,12\nSFX 12 Y 1\nSFX 12 0 s .\n"),
    ],
)
def test_flags_are_written_in_several_ways(tmp_path: Path, flags: str, aff: str) -> None:
    assert spelt(tmp_path, f"SET UTF-8\n{aff}", f"1\ncat/{flags}\n") == {"cat", "cats"}


@pytest.mark.parametrize("encoding", ["ISO8859-7", "microsoft-cp1253", "UTF-8"])
def test_a_dictionary_says_its_encoding(tmp_path: Path, encoding: str) -> None:
    aff = f"SET {encoding}\nSFX A Y 1\nSFX A ς υ ος\n"
    python = encoding.removeprefix("microsoft-")
    assert spelt(tmp_path, aff, "1\nδρόμος/A\n", python) == {"δρόμος", "δρόμου"}


def test_a_condition_is_no_regular_expression(tmp_path: Path) -> None:
    aff = "SET UTF-8\nSFX A Y 3\nSFX A 0 x a+\nSFX A 0 y [a-]\nSFX A 0 z [[]]\n"
    assert spelt(tmp_path, aff, "3\naa/A\nb-/A\na+/A\n") == {"aa", "aay", "b-", "b-y", "a+", "a+x"}


@pytest.mark.parametrize(
    ("aff", "dic", "said"),
    [
        ("SET UTF-8\n", "", "number of its words"),
        ("SET UTF-8\n", "cat\ndog\n", "number of its words"),
        ("SET nonsense\n", "1\ncat\n", "nonsense"),
        ("SET UTF-8\nSFX A 0 s .\n", "1\ncat/A\n", "line 2.*header"),
    ],
)
def test_a_bad_dictionary_is_refused(tmp_path: Path, aff: str, dic: str, said: str) -> None:
    with pytest.raises(BadDictionary, match=said):
        list(forms(written(tmp_path, aff, dic)))


def test_rules_that_make_too_much_are_refused(tmp_path: Path) -> None:
    lines = "".join(f"SFX A 0 {index}/A .\n" for index in range(100))
    with pytest.raises(BadDictionary, match="'x' has more than"):
        list(forms(written(tmp_path, f"SET UTF-8\nSFX A Y 100\n{lines}", "1\nx/A\n")))


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDictionary, match="no dictionary file"):
        list(forms(tmp_path / "none"))
    path = written(tmp_path, "SET UTF-8\n", "1\ncat\n")
    (tmp_path / "xx.dic").write_bytes(b"1\n\xff\xfe\x00\n")
    with pytest.raises(BadDictionary, match="utf-8"):
        list(forms(path))


@pytest.mark.skipif(
    not BELARUSIAN.with_name("be_BY.dic").is_file(), reason="no Belarusian dictionary unpacked"
)
def test_belarusian_words_are_declined_and_conjugated() -> None:
    found = {form.text for form in forms(BELARUSIAN)}
    assert 600_000 < len(found) < 800_000
    # `кніга`, a book, in its cases; `чытаць`, to read; `вялікі`, large.
    assert {"кніга", "кнігі", "кнізе", "кнігу", "кнігай", "кнігамі"} <= found
    assert {"чытаць", "чытаю", "чытае", "чытаў", "чытала"} <= found
    assert {"вялікі", "вялікая", "вялікага", "вялікіх"} <= found
    assert not {"кнігаў", "чытаеце́", "вялікый"} & found
