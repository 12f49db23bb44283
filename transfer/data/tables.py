"""Rows out of text files: CSV, TSV and JSON lines, one at a time, whatever is in them.

A file that is no table at all raises; a bad line is a record with a problem, and reading goes on.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import InvalidRequest

ENDINGS = (".csv", ".jsonl", ".tsv")
LONGEST_LINE_BYTES = 1 << 20
"""No transcript is as long: what is, is no line of a table, and is not held in memory."""


@dataclass(frozen=True)
class Record:
    """One row of a table.

    Attributes:
        number: the line it starts on, counted from 1.
        fields: column → what stands there.
        problem: why there are no fields; empty where there are.
    """

    number: int
    fields: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class _Line:
    number: int
    text: str
    problem: str = ""


def read_table(path: Path, header: Sequence[str] = ()) -> Iterator[Record]:
    """Rows of a CSV, TSV or JSON-lines file, told apart by its ending.

    Args:
        path: the file.
        header: the columns of a TSV whose first line is data already.

    Raises:
        InvalidRequest: the file cannot be read, is not text, or has another ending.
    """
    if path.suffix == ".jsonl":
        return _json_rows(path)
    if path.suffix == ".csv":
        return _csv_rows(path)
    if path.suffix == ".tsv":
        return _tsv_rows(path, header)
    raise InvalidRequest(f"{path.name}: a manifest's name ends in one of {', '.join(ENDINGS)}")


def columns_of(path: Path) -> list[str]:
    """The header of a CSV or TSV file, the keys of the first object of a JSON-lines file.

    Raises:
        InvalidRequest: as `read_table`.
    """
    if path.suffix == ".jsonl":
        return next((list(row.fields) for row in _json_rows(path) if row.fields), [])
    if path.suffix not in ENDINGS:
        read_table(path)
    line = next((line for line in _lines(path) if line.text or line.problem), None)
    if line is None:
        return []
    if line.problem:
        raise InvalidRequest(f"{path.name} line {line.number}, the header: {line.problem}")
    if path.suffix == ".tsv":
        return line.text.split("\t")
    return next(csv.reader([line.text], delimiter=_delimiter(line.text)), [])


def count_lines(path: Path) -> int:
    """How many lines a file has, to know how far one is."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _tsv_rows(path: Path, header: Sequence[str]) -> Iterator[Record]:
    """Tabs part the fields and quotation marks are text, as Common Voice writes them."""
    for line in _lines(path):
        if line.problem:
            yield Record(line.number, problem=line.problem)
        elif not line.text:
            continue
        elif header:
            yield _row(line.number, header, line.text.split("\t"))
        else:
            header = line.text.split("\t")


def _csv_rows(path: Path) -> Iterator[Record]:
    header = columns_of(path)
    unreadable: list[Record] = []

    def lines() -> Iterator[str]:
        for line in _lines(path):
            if line.problem:
                unreadable.append(Record(line.number, problem=line.problem))
            yield f"{line.text}\n"

    first = next((line.text for line in _lines(path) if line.text), "")
    reader = csv.reader(lines(), delimiter=_delimiter(first))
    seen_header = False
    while True:
        number = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            # Such as a quotation mark that nothing closes: the lines it swallowed are gone.
            yield Record(number, problem=f"not CSV, to line {reader.line_num}: {error}")
            continue
        yield from unreadable
        unreadable.clear()
        if values is None:
            return
        if values and seen_header:
            yield _row(number, header, values)
        seen_header = seen_header or bool(values)


def _json_rows(path: Path) -> Iterator[Record]:
    for line in _lines(path):
        if line.problem:
            yield Record(line.number, problem=line.problem)
        elif line.text.strip():
            yield _json_row(line)


def _json_row(line: _Line) -> Record:
    try:
        content = json.loads(line.text)
    except (ValueError, RecursionError) as error:
        return Record(line.number, problem=f"not JSON: {error}")
    if not isinstance(content, dict):
        return Record(line.number, problem="not a JSON object")
    return Record(line.number, {str(key): _plain(value) for key, value in content.items()})


def _plain(value: object) -> str:
    if isinstance(value, dict):  # as `datasets` writes audio: {"path": …, "bytes": null}
        value = value.get("path")
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def _row(number: int, header: Sequence[str], values: Sequence[str]) -> Record:
    if len(values) != len(header):
        return Record(number, problem=f"{len(values)} columns, the header has {len(header)}")
    return Record(number, dict(zip(header, values, strict=True)))


def _delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)


def _lines(path: Path) -> Iterator[_Line]:
    try:
        with path.open("rb") as file:
            if b"\0" in file.read(8192):
                raise InvalidRequest(f"{path.name} is not text: save it as UTF-8")
            file.seek(0)
            number = 0
            while raw := file.readline(LONGEST_LINE_BYTES):
                number += 1
                if len(raw) == LONGEST_LINE_BYTES:
                    while raw and not raw.endswith(b"\n"):
                        raw = file.readline(LONGEST_LINE_BYTES)
                    yield _Line(number, "", f"a line of over {LONGEST_LINE_BYTES >> 20} MiB")
                    continue
                yield _decoded(number, raw)
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be read: {error.strerror}") from error


def _decoded(number: int, raw: bytes) -> _Line:
    try:
        # A byte order mark before the first line is not part of its first column's name.
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return _Line(number, "", "not UTF-8")
    return _Line(number, "", "not text") if "\0" in text else _Line(number, text)
