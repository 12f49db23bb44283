"""`panglot data prepare` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from common.errors import InvalidRequest
from tests.transfer.speech_on_disk import common_voice, noise, record, sentence, write_tsv
from transfer.data.command import app
from transfer.data.manifest import read_manifest


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


def said(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    error = run(*arguments).exception
    assert isinstance(error, InvalidRequest)
    return str(error)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Thirty recordings of one's own, and a row without one."""
    rows = [("audio", "text")]
    for number in range(30):
        record(tmp_path / "own" / f"{number}.wav", noise(number))
        rows.append((f"{number}.wav", sentence(number)))
    return write_tsv(tmp_path / "own" / "village.tsv", [*rows, ("none.wav", "never said")])


def test_what_was_found_written_and_left_out_is_said(tmp_path: Path, table: Path) -> None:
    output = said(table, "--language", "yo", "--data", tmp_path / "data")
    assert "yo: a table, audio in 'audio', text in 'text'" in output
    assert "│ held out    │ 0.2     │ 7     │ 7         │ unknown  │" in output
    assert "split by sentence" in output
    assert "│ missing audio │ 1    │ 3.2%  │" in output
    assert "yo.rejected.tsv" in output
    assert "Next: panglot train yo" in output
    assert len(read_manifest(tmp_path / "data" / "yo.jsonl")) == 30


def test_sources_of_one_language_become_one_manifest(tmp_path: Path, table: Path) -> None:
    splits = {"train": [(50, "a")], "dev": [(51, "b")], "test": [(52, "c")]}
    common_voice(tmp_path / "cv" / "ca", {**splits, "validated": []})
    out = tmp_path / "both.jsonl"
    said(tmp_path / "cv", table, "--language", "ca", "--out", out)
    clips = read_manifest(out)
    assert {clip.source for clip in clips} == {"common-voice", "village"}
    assert [clip.split for clip in clips].count("train") == 31

    output = said(table, "--language", "ca", "--out", out)
    assert "held clips of common-voice before: name them too to keep them" in output


def test_an_option_too_few(tmp_path: Path, table: Path) -> None:
    assert "add --language" in refused(table)
    assert "'catalan' is not a language tag" in refused(table, "--language", "catalan")
    assert "ends in .jsonl" in refused(table, "--language", "ca", "--out", tmp_path / "ca.csv")
    columns = ("--audio-column", "sound")
    assert "no column 'sound'" in refused(table, "--language", "ca", *columns)
    assert "1 rows are faulty" in refused(
        table, "--language", "ca", "--data", tmp_path / "data", "--strict"
    )
    assert not (tmp_path / "data" / "ca.jsonl").exists()


def test_a_source_is_never_overwritten(tmp_path: Path, table: Path) -> None:
    manifest = tmp_path / "ca.jsonl"
    said(table, "--language", "ca", "--out", manifest)
    before = manifest.read_bytes()
    assert "is a source" in refused(manifest, "--data", tmp_path)
    assert manifest.read_bytes() == before


def test_one_manifest_cannot_be_in_two_languages(tmp_path: Path, table: Path) -> None:
    common_voice(tmp_path / "cv" / "ca", {"validated": [(50, "a")]})
    assert "ca" in said(tmp_path / "cv", "--data", tmp_path / "data")
    mixed = (tmp_path / "cv" / "ca", "be", "--out", tmp_path / "x.jsonl")
    assert "the sources are in ca, be" in refused(*mixed)
