"""What a path is taken for, and the rows that come out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import InvalidRequest, UnknownLanguage
from tests.transfer.speech_on_disk import (
    SCRIPTED,
    common_voice,
    fleurs,
    noise,
    record,
    sentence,
    write_tsv,
)
from transfer.data.layouts import open_source
from transfer.data.speech_source import (
    Reading,
    Row,
    SpeechSource,
    inside,
    language_tag,
    same_language,
)

CATALAN = Reading("ca")


def opened(path: Path, reading: Reading = CATALAN) -> SpeechSource:
    return open_source(str(path), reading, Path("data"))


def rows(path: Path, reading: Reading = CATALAN) -> list[Row]:
    return list(opened(path, reading).rows())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "Audio,Sentence,Client_ID,Split\na.wav,Bon dia,anna,dev\n"),
        ("t.tsv", "path\ttranscription\tspeaker_id\tsubset\na.wav\tBon dia\tanna\tValidation\n"),
        (
            "t.jsonl",
            '{"audio_filepath": "a.wav", "duration": 1.5, "text": "Bon dia", "spk": "anna", '
            '"set": "val"}\n',
        ),
    ],
)
def test_columns_are_found_by_their_usual_names(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    (row,) = rows(tmp_path / name)
    assert (row.audio, row.text, row.speaker) == (tmp_path / "a.wav", "Bon dia", "anna")
    assert row.split == "development"
    assert row.defect is None


@pytest.mark.parametrize(
    ("written", "tag", "same"),
    [
        *(("cmn", "zh", True), ("nb_NO", "no", True), ("no", "nb", True), ("zh-TW", "zh", True)),
        *(("Catalan", "ca", True), ("da", "no", False), ("es", "ca", False)),
    ],
)
def test_languages_are_compared_as_people_write_them(written: str, tag: str, same: bool) -> None:
    assert same_language(written, tag) == same


def test_columns_can_be_named(tmp_path: Path) -> None:
    table = write_tsv(tmp_path / "t.tsv", [("text", "said", "where"), ("x", "bon dia", "a.wav")])
    with pytest.raises(InvalidRequest, match="--audio-column"):
        opened(table)
    with pytest.raises(InvalidRequest, match="no column 'wo': it has 'text', 'said', 'where'"):
        opened(table, Reading("ca", {"audio": "wo"}))
    (row,) = rows(table, Reading("ca", {"audio": "where", "text": "said"}))
    assert (row.audio.name, row.text) == ("a.wav", "bon dia")


def test_the_language_is_said_by_the_source_or_by_a_person(tmp_path: Path) -> None:
    table = write_tsv(tmp_path / "t.tsv", [("audio", "text"), ("a.wav", "bon dia")])
    with pytest.raises(InvalidRequest, match="add --language TAG"):
        opened(table, Reading())
    says = write_tsv(tmp_path / "s.tsv", [("audio", "text", "lang"), ("a.wav", "x", "ca_ES")])
    assert opened(says, Reading()).language == "ca"
    assert opened(says, Reading("ca")).language == "ca"
    with pytest.raises(InvalidRequest, match="in ca_ES, by its own account; --language says es"):
        opened(says, Reading("es"))
    in_words = write_tsv(tmp_path / "w.tsv", [("audio", "text", "lang"), ("a.wav", "x", "Catalan")])
    with pytest.raises(InvalidRequest, match="add --language TAG"):
        opened(in_words, Reading())
    assert opened(in_words, Reading("ca")).language == "ca"


def test_a_folder_in_another_language_than_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="in ca_es, by its own account"):
        opened(fleurs(tmp_path / "ca_es", {"train": [1]}), Reading("bg"))
    assert opened(fleurs(tmp_path / "nb_no", {"train": [1]}), Reading("no")).language == "no"


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        *(("ca_es", "ca"), ("sv-SE", "sv"), ("zh-TW", "zh-Hant"), ("sr-Latn", "sr-Latn")),
        *(("sr_rs", "sr"), ("es_419", "es"), ("rm-sursilv", "rm"), ("CKB", "ckb")),
    ],
)
def test_a_locale_is_a_language_and_its_script_where_it_matters(written: str, tag: str) -> None:
    assert language_tag(written) == tag


@pytest.mark.parametrize("written", ["catalan", "", "x" * 300, "c\0", "qq"])
def test_what_is_no_tag(written: str) -> None:
    with pytest.raises(InvalidRequest, match="not a language tag"):
        language_tag(written)


@pytest.mark.parametrize(
    ("written", "within"),
    [
        *(("a.wav", True), ("sub/../a.wav", True), ("./a.wav", True), ("a\n.wav", True)),
        *(("../a.wav", False), ("sub/../../a.wav", False), ("/etc/passwd", False), ("", False)),
        *((".", False), ("http://host/a.wav", True), ("~/a.wav", True)),
    ],
)
def test_audio_paths_stay_in_their_folder(tmp_path: Path, written: str, within: bool) -> None:
    assert (inside(tmp_path, written) is not None) == within
    assert inside(tmp_path, str(tmp_path / "a.wav")) == tmp_path / "a.wav"


def test_a_row_that_leads_out_says_what_to_do(tmp_path: Path) -> None:
    table = write_tsv(tmp_path / "in" / "t.tsv", [("audio", "text"), ("../a.wav", "x"), ("", "x")])
    escaping, nameless = rows(table)
    assert escaping.defect is not None
    assert "--audio-folder" in escaping.defect.detail
    assert nameless.defect is not None
    assert nameless.defect.reason == "malformed row"
    table = write_tsv(tmp_path / "in" / "t.tsv", [("audio", "text"), ("a.wav", "x")])
    (elsewhere,) = rows(table, Reading("ca", audio_folder=tmp_path / "other"))
    assert elsewhere.audio == tmp_path / "other" / "a.wav"


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    table = write_tsv(tmp_path / "t.tsv", [("audio", "text", "split"), ("a.wav", "x", "spare")])
    (row,) = rows(table)
    assert row.defect is not None
    assert "'spare'" in row.defect.detail


def test_common_voice_keeps_its_splits_and_trains_on_the_rest(tmp_path: Path) -> None:
    common_voice(
        tmp_path / "ca",
        {
            "train": [(1, "anna")],
            "dev": [(2, "bob")],
            "test": [(3, "cara")],
            "validated": [(1, "anna"), (2, "bob"), (3, "cara"), (4, "anna"), (5, "cara")],
        },
    )
    source = opened(tmp_path / "ca", Reading())
    assert source.language == "ca"
    assert "its own splits" in source.layout
    found = {row.audio.stem: row for row in source.rows()}
    assert {name: row.split for name, row in found.items() if row.defect is None} == {
        "cv_1": "train",
        "cv_2": "development",
        "cv_3": "held_out",
        "cv_4": "train",
    }
    judged = found["cv_5"].defect
    assert judged is not None
    assert not judged.fault


def test_common_voice_without_splits(tmp_path: Path) -> None:
    release = common_voice(tmp_path / "ca", {"validated": [(1, "a"), (2, "b")]})
    write_tsv(release / "train.tsv", [SCRIPTED])
    assert [row.split for row in rows(release)] == [None, None]
    (release / "validated.tsv").unlink()
    common_voice(release, {"train": [(1, "a")]})
    with pytest.raises(InvalidRequest, match=r"neither validated\.tsv"):
        opened(release)


def test_a_release_is_found_below_the_folder_named(tmp_path: Path) -> None:
    release = tmp_path / "cv-corpus-24.0-2026-06-01"
    common_voice(release / "ca", {"validated": [(1, "a")]})
    assert opened(release, Reading()).language == "ca"
    common_voice(release / "sv-SE", {"validated": [(1, "a")]})
    assert rows(release, Reading("sv"))[0].audio.parts[-3] == "sv-SE"
    with pytest.raises(InvalidRequest, match="several languages"):
        opened(release, Reading())


def test_common_voice_without_its_clips(tmp_path: Path) -> None:
    write_tsv(tmp_path / "validated.tsv", [SCRIPTED])
    with pytest.raises(InvalidRequest, match="unpack the clips"):
        opened(tmp_path)


def test_spontaneous_speech(tmp_path: Path) -> None:
    release = tmp_path / "sps-corpus-5.0-2026-09-11-ca"
    write_tsv(
        release / "ss-corpus-ca.tsv",
        [
            ("client_id", "audio_file", "transcription", "split"),
            ("anna", "a.mp3", "Doncs [laugh] sí.", "train"),
            ("anna", "b.mp3", "No ho sé.", "unassigned"),
        ],
    )
    source = opened(tmp_path, Reading())
    assert source.language == "ca"
    first, second = source.rows()
    assert (first.text.split(), first.split) == (["Doncs", "sí."], "train")
    assert first.audio == release / "audios" / "a.mp3"
    assert second.defect is not None
    assert not second.defect.fault


def test_fleurs_has_no_header(tmp_path: Path) -> None:
    fleurs(tmp_path / "ca_es", {"train": [1, 2], "dev": [3], "test": [4]})
    source = opened(tmp_path, Reading())
    assert (source.language, source.n_lines) == ("ca", 4)
    found = list(source.rows())
    assert [(row.split, row.text) for row in found] == [
        ("held_out", f"{sentence(4)}."),
        ("development", f"{sentence(3)}."),
        ("train", f"{sentence(1)}."),
        ("train", f"{sentence(2)}."),
    ]
    assert all(row.audio.is_file() for row in found)


def test_fleurs_still_packed(tmp_path: Path) -> None:
    folder = fleurs(tmp_path / "ca_es", {"train": [1]})
    (folder / "audio" / "train").rename(folder / "audio" / "elsewhere")
    with pytest.raises(InvalidRequest, match=r"unpack train\.tar\.gz"):
        opened(folder)


def test_a_folder_with_one_table(tmp_path: Path) -> None:
    record(tmp_path / "clips" / "a.wav", noise(1))
    write_tsv(tmp_path / "metadata.tsv", [("file_name", "text"), ("clips/a.wav", "x")])
    assert rows(tmp_path)[0].audio.is_file()
    write_tsv(tmp_path / "other.tsv", [("file_name", "text")])
    with pytest.raises(InvalidRequest, match="holds 2 tables"):
        opened(tmp_path)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no such file"):
        opened(tmp_path / "none")
    with pytest.raises(InvalidRequest, match="holds 0 tables"):
        opened(tmp_path)
    with pytest.raises(UnknownLanguage, match="no corpus here"):
        open_source("yo", Reading(), tmp_path)


def test_our_own_manifest_is_a_source_too(tmp_path: Path) -> None:
    line = {"audio": "a.wav", "text": "bon dia", "language": "ca", "duration_s": 1.0}
    line |= {"source": "x", "speaker": "anna", "split": "held_out"}
    (tmp_path / "m.jsonl").write_text(json.dumps(line) + "\n")
    (row,) = rows(tmp_path / "m.jsonl", Reading())
    assert (row.text, row.speaker, row.split) == ("bon dia", "anna", "held_out")
