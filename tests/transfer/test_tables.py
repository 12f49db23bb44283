"""Tables, and files that are none: what is wrong is said of the row, and reading goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InvalidRequest
from transfer.data.tables import LONGEST_LINE_BYTES, columns_of, count_lines, read_table


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'audio,text\na.wav,"one, two"\n'),
        ("a.csv", 'audio;text\na.wav;"one, two"\n'),
        ("a.csv", "\ufeffaudio\ttext\r\na.wav\tone, two\r\n"),
        ("a.tsv", "audio\ttext\n\na.wav\tone, two\n"),
        ("a.jsonl", '{"audio": "a.wav", "text": "one, two"}\n'),
        ("a.jsonl", '\n{"audio": {"path": "a.wav", "bytes": null}, "text": "one, two"}'),
    ],
)
def test_each_form_is_read(tmp_path: Path, name: str, content: str) -> None:
    path = written(tmp_path, name, content)
    assert columns_of(path) == ["audio", "text"]
    (row,) = read_table(path)
    assert row.fields == {"audio": "a.wav", "text": "one, two"}


def test_quotation_marks_are_text_in_a_tsv_and_close_fields_in_a_csv(tmp_path: Path) -> None:
    tsv = written(tmp_path, "a.tsv", 'audio\ttext\na.wav\t"open\nb.wav\tnext\n')
    assert [row.fields["text"] for row in read_table(tsv)] == ['"open', "next"]
    csv = written(tmp_path, "a.csv", 'audio,text\na.wav,"two\nlines"\nb.wav,next\n')
    assert [(row.number, row.fields["text"]) for row in read_table(csv)] == [
        (2, "two\nlines"),
        (4, "next"),
    ]


def test_a_table_without_a_header_is_given_one(tmp_path: Path) -> None:
    path = written(tmp_path, "a.tsv", "a.wav\tone\n")
    (row,) = read_table(path, ("audio", "text"))
    assert row.fields["text"] == "one"


@pytest.mark.parametrize(
    ("name", "line", "problem"),
    [
        ("a.tsv", b"a.wav\n", "1 columns, the header has 2"),
        ("a.tsv", b"a\tb\tc\n", "3 columns"),
        ("a.tsv", b"a.wav\t\xff\xfe\n", "not UTF-8"),
        ("a.csv", b"a.wav,one,two\n", "3 columns"),
        ("a.csv", b"a.wav,\xe9t\xe9\n", "not UTF-8"),
        ("a.jsonl", b"{audio: 1}\n", "not JSON"),
        ("a.jsonl", b"[1, 2]\n", "not a JSON object"),
        ("a.jsonl", b"[" * 100_000 + b"\n", "not JSON"),
    ],
)
def test_a_bad_line_is_a_record_with_a_problem(
    tmp_path: Path, name: str, line: bytes, problem: str
) -> None:
    good = {
        "a.tsv": b"good.wav\tone\n",
        "a.csv": b"good.wav,one\n",
        "a.jsonl": b'{"audio": "good.wav", "text": "one"}\n',
    }[name]
    header = b"" if name == "a.jsonl" else b"audio,text\n".replace(b",", good[8:9])
    records = list(read_table(written(tmp_path, name, header + good + line + good)))
    assert [record.problem != "" for record in records] == [False, True, False]
    assert problem in records[1].problem
    assert records[1].number == records[0].number + 1


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
def test_a_line_of_ten_megabytes_is_one_bad_row(tmp_path: Path, name: str) -> None:
    good = '{"audio": "b"}' if name == "a.jsonl" else "b"
    header = "" if name == "a.jsonl" else "audio\n"
    content = f"{header}{'x' * 10 * LONGEST_LINE_BYTES}\n{good}\n"
    bad, fine = read_table(written(tmp_path, name, content))
    assert "MiB" in bad.problem
    assert fine.fields == {"audio": "b"}


def test_a_quotation_mark_nothing_closes_costs_what_it_swallows(tmp_path: Path) -> None:
    swallowed = "b.wav,two\n" * 20_000
    path = written(tmp_path, "a.csv", f'audio,text\na.wav,"one\n{swallowed}c.wav,three\n')
    bad, *rest = read_table(path)
    assert bad.number == 2
    assert "not CSV" in bad.problem
    assert rest[-1].fields == {"audio": "c.wav", "text": "three"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"\x89PNG\r\n\x00\x00\x00", "not text"),
        ("a.csv", "audio,text\n".encode("utf-16"), "not text"),
        ("a.xlsx", b"PK", "ends in one of .csv, .jsonl, .tsv"),
        ("a.tsv", b"\xe9\t\xe8\n", "the header: not UTF-8"),
    ],
)
def test_what_is_no_table_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        columns_of(written(tmp_path, name, content))


def test_a_missing_or_empty_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        list(read_table(tmp_path / "none.tsv"))
    empty = written(tmp_path, "a.csv", "")
    assert columns_of(empty) == []
    assert list(read_table(empty)) == []
    assert count_lines(empty) == 0
