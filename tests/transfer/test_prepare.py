"""From a source on disk to a manifest: every reason, every layout, and nothing broken left."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from common.errors import InvalidRequest
from tests.transfer.speech_on_disk import (
    common_voice,
    fleurs,
    noise,
    record,
    sentence,
    write_tsv,
)
from transfer.data.audio import Samples
from transfer.data.layouts import open_source
from transfer.data.manifest import Clip, read_manifest
from transfer.data.prepare import FaultyRows, NothingUsable, Prepared, prepare
from transfer.data.speech_source import Reading

GOOD = ("good.wav", "La granota és verda.")


def prepared(source: Path, target: Path, language: str = "ca", **options: object) -> Prepared:
    opened = open_source(str(source), Reading(language), Path("data"))
    return prepare([opened], target, **options)  # type: ignore[arg-type]


def report(of: Prepared) -> list[dict[str, str]]:
    with of.report.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def table(folder: Path, rows: Sequence[tuple[str, str]]) -> Path:
    record(folder / "good.wav", noise(1))
    return write_tsv(folder / "t.tsv", [("audio", "text"), GOOD, *rows])


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("", "empty text", ""),
        ("…!", "empty text", ""),
        ("B", "single letter", "b"),
        ("Una лягушка verda", "another script", "лягушк"),
        ("Ein schönes Tier", "foreign letters", "ö"),
        ("El 1984 fou dur", "digits or symbols", "1984"),
        ("Costa molt €", "digits or symbols", "€"),
        ("Tenim 2 granotes", "digits or symbols", "2"),
        ("llarg " * 20, "impossibly fast", "letters a second"),
        ("ai", None, ""),
        ("Tenim 3 granotes", None, ""),
    ],
)
def test_texts(tmp_path: Path, text: str, reason: str | None, detail: str) -> None:
    record(tmp_path / "a.wav", noise(2))
    found = prepared(table(tmp_path, [("a.wav", text)]), tmp_path / "out" / "ca.jsonl")
    assert [(row["file"], row["row"], row["reason"]) for row in report(found)] == (
        [("t.tsv", "3", reason)] if reason else []
    )
    assert all(detail in row["detail"] for row in report(found))
    assert sum(size.clips for size in found.sizes.values()) == (1 if reason else 2)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (noise(3), None),
        (noise(3, 0.05), "too short"),
        (noise(3, 0.0), "too short"),
        (noise(3, 40.0), "too long"),
        (noise(3, 27.0), "impossibly slow"),
        (noise(3, level=1e-5), "silent audio"),
        (noise(3, level=2.0), "clipped audio"),
        (noise(3, level=0.4), None),
        (noise(1), "duplicate"),
    ],
)
def test_recordings(tmp_path: Path, samples: Samples, reason: str | None) -> None:
    record(tmp_path / "a.wav", samples)
    found = prepared(table(tmp_path, [("a.wav", "Un gat negre")]), tmp_path / "ca.jsonl")
    assert [row["reason"] for row in report(found)] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing audio"),
        (b"", "undecodable audio"),
        (b"not audio at all", "undecodable audio"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "undecodable audio"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", "undecodable audio"),
    ],
)
def test_files_that_are_no_recordings(tmp_path: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    found = prepared(table(tmp_path, [("a.wav", "Un gat negre")]), tmp_path / "ca.jsonl")
    assert [row["reason"] for row in report(found)] == [reason]


def test_hostile_rows_cost_only_themselves(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    path = table(
        tmp_path,
        [
            ("../../etc/passwd", "fuig"),
            ("/etc/passwd", "fuig"),
            ("x" * 9000, "fuig"),
            ("folder.wav", "fuig"),
            ("a\0b.wav", "fuig"),
        ],
    )
    with path.open("ab") as file:
        file.write(b"only one column\nbad.wav\t\xff\xff\n")
    found = prepared(path, tmp_path / "out" / "ca.jsonl")
    assert found.faulty == {
        "audio outside the folder": 2,
        "missing audio": 2,
        "malformed row": 3,
    }
    assert [int(row["row"]) for row in report(found)] == [3, 4, 5, 6, 7, 8, 9]


def test_a_recording_that_says_less_than_its_text(tmp_path: Path) -> None:
    """By its speaker's own pace, as no limit for all speakers tells."""
    rows = [("audio", "text", "speaker")]
    for number in range(40):
        seconds = 3.0 if number else 1.2
        record(tmp_path / f"{number}.wav", noise(number, seconds))
        rows.append((f"{number}.wav", f"{sentence(number)} {sentence(number + 50)}", "anna"))
    found = prepared(write_tsv(tmp_path / "t.tsv", rows), tmp_path / "ca.jsonl")
    assert [(row["row"], row["reason"]) for row in report(found)] == [
        ("2", "says less than its text")
    ]


def test_rows_in_another_language(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        record(tmp_path / f"{name}.wav", noise(ord(name)))
    rows = [("audio", "text", "locale"), ("a.wav", "bon dia", "ca")]
    rows += [("b.wav", "buenos dias", "es"), ("c.wav", "bona nit", "ca-ES")]
    found = prepared(write_tsv(tmp_path / "t.tsv", rows), tmp_path / "ca.jsonl")
    assert [(row["reason"], row["detail"]) for row in report(found)] == [("another language", "es")]


def test_the_manifest_is_what_the_trainer_reads(tmp_path: Path) -> None:
    found = prepared(table(tmp_path, []), tmp_path / "data" / "ca.jsonl")
    (clip,) = read_manifest(found.manifest)
    assert clip == Clip(str(tmp_path / "good.wav"), "la granota és verda", "ca", 1.5, "t", "")
    inside = prepared(table(tmp_path / "data" / "own", []), tmp_path / "data" / "ca.jsonl")
    assert json.loads(inside.manifest.read_text())["audio"] == "own/good.wav"


def test_common_voice_and_fleurs_keep_their_splits(tmp_path: Path) -> None:
    splits = {"train": range(1, 5), "dev": range(5, 7), "test": range(7, 9)}
    common_voice(
        tmp_path / "cv" / "ca",
        {name: [(n, f"{name}{n}") for n in numbers] for name, numbers in splits.items()},
    )
    fleurs(tmp_path / "ca_es", splits)
    for source in (tmp_path / "cv", tmp_path / "ca_es"):
        found = prepared(source, tmp_path / f"{source.name}.jsonl")
        assert found.how == "as the source splits it"
        assert not found.faulty
        names = {"train": "train", "dev": "development", "test": "held_out"}
        assert {(c.text, c.split) for c in read_manifest(found.manifest)} == {
            (sentence(n), names[name]) for name, numbers in splits.items() for n in numbers
        }


def test_a_sentence_in_two_given_splits_is_moved(tmp_path: Path) -> None:
    fleurs(tmp_path / "ca_es", {"train": [1, 2, 3], "dev": [4], "test": [5]})
    record(tmp_path / "ca_es" / "audio" / "train" / "6.wav", noise(6))
    with (tmp_path / "ca_es" / "train.tsv").open("a") as file:
        file.write(f"6\t6.wav\t{sentence(5).upper()}\tx\tx\t1\tMALE\n")
    found = prepared(tmp_path / "ca_es", tmp_path / "ca.jsonl")
    assert "1 moved from train to held_out" in found.how
    assert found.sizes["held_out"].clips == 2


def test_the_same_corpus_is_split_the_same_by_any_number_of_processes(tmp_path: Path) -> None:
    rows = [(f"{n}.wav", sentence(n)) for n in range(40)]
    for name, _ in rows:
        record(tmp_path / name, noise(int(name[:-4])))
    path = write_tsv(tmp_path / "t.tsv", [("audio", "text"), *rows, ("none.wav", "x y")])
    one = prepared(path, tmp_path / "one" / "ca.jsonl", jobs=1)
    two = prepared(path, tmp_path / "two" / "ca.jsonl", jobs=2)
    assert one.manifest.read_bytes() == two.manifest.read_bytes()
    assert one.report.read_bytes() == two.report.read_bytes()
    write_tsv(path, [("audio", "text"), *rows[::-1]])
    backwards = prepared(path, tmp_path / "back" / "ca.jsonl")
    splits = [
        {(clip.text, clip.split) for clip in read_manifest(found.manifest)}
        for found in (one, backwards)
    ]
    assert splits[0] == splits[1]
    assert {split for _, split in splits[0]} == {"train", "development", "held_out"}


def test_where_nothing_is_usable_the_old_manifest_stays(tmp_path: Path) -> None:
    target = tmp_path / "ca.jsonl"
    target.write_text("as it was\n")
    path = write_tsv(tmp_path / "t.tsv", [("audio", "text"), ("none.wav", "x"), ("n.wav", "y")])
    with pytest.raises(NothingUsable, match=r"of 2 rows none is usable \(2 missing audio\)"):
        prepared(path, target)
    assert target.read_text() == "as it was\n"
    assert len((tmp_path / "ca.rejected.tsv").read_text().splitlines()) == 3
    write_tsv(path, [("audio", "text")])
    with pytest.raises(NothingUsable, match="of 0 rows"):
        prepared(path, target)


def test_strict_writes_no_manifest_beside_a_faulty_row(tmp_path: Path) -> None:
    path = table(tmp_path, [("none.wav", "x")])
    with pytest.raises(FaultyRows, match="1 rows are faulty"):
        prepared(path, tmp_path / "out" / "ca.jsonl", strict=True)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["ca.rejected.tsv"]
    assert prepared(table(tmp_path, []), tmp_path / "out" / "ca.jsonl", strict=True)


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "out" / "ca.jsonl"

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(table(tmp_path, []), target, advance=interrupt)
    assert list(target.parent.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="cannot be written"):
        prepared(table(tmp_path, []), tmp_path / "file" / "ca.jsonl")


def test_long_recordings_are_not_decoded_to_the_end(tmp_path: Path) -> None:
    record(tmp_path / "a.flac", np.tile(noise(1, 10.0), 30))
    found = prepared(table(tmp_path, [("a.flac", "Un gat negre")]), tmp_path / "ca.jsonl")
    (row,) = report(found)
    assert row["reason"] == "too long"
    assert row["detail"].startswith("28.")
