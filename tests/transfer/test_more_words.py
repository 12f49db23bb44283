"""Sources beside the training text, and what is said about those that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InvalidRequest
from transfer.data.corpora import CorpusUnavailable
from transfer.lexicon.more_words import gather


def test_the_users_files_are_read_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    first, second, names = (tmp_path / name for name in ("a.txt", "b.txt", "names.txt"))
    first.write_text("Allin p'unchay.\nHeld out.\n", encoding="utf-8")
    second.write_text("allin p'unchay\n12\n", encoding="utf-8")
    names.write_text("Quispe\nMamani\n", encoding="utf-8")
    found = gather("qu", tmp_path, [first, second], [names], judged=["held out"])
    assert found.dictionary is None
    assert found.sentences == ("allin p'unchay",)
    assert found.words == ("quispe", "mamani")
    assert [warning[:16] for warning in found.warnings] == ["a.txt: 1 left ou", "b.txt: 1 left ou"]


def test_a_dictionary_that_cannot_be_had_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(package: str, data: Path) -> None:
        raise CorpusUnavailable(f"Debian package {package} could not be had")

    monkeypatch.setattr("transfer.lexicon.words.unpack", unpack)
    found = gather("be", tmp_path)
    assert found.dictionary is None
    assert len(found.warnings) == 1
    assert "hunspell-be" in found.warnings[0]


def test_a_file_that_cannot_be_used_stops_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none\.txt"):
        gather("qu", tmp_path, [tmp_path / "none.txt"])
