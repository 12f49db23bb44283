"""Folders in a layout others publish speech in: Common Voice, scripted and spontaneous; FLEURS.

Common Voice describes its own in https://github.com/common-voice/cv-dataset, FLEURS (Conneau et
al., 2022) in https://huggingface.co/datasets/google/fleurs. A release is found in the folder named
or up to two levels below.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from common.errors import InvalidRequest
from transfer.data.checks import Defect
from transfer.data.corpora import LANGUAGES
from transfer.data.manifest import Split
from transfer.data.speech_source import (
    Reading,
    Row,
    SpeechSource,
    agreed_language,
    corpus_source,
    language_tag,
    rows_of,
    table_source,
)
from transfer.data.tables import ENDINGS, Record, columns_of, count_lines, read_table

_SPLIT_FILES: Mapping[Split, str] = {
    "held_out": "test.tsv",
    "development": "dev.tsv",
    "train": "train.tsv",
}
_SCRIPTED = {"audio": "path", "text": "sentence", "speaker": "client_id"}
_SPONTANEOUS = {
    "audio": "audio_file",
    "text": "transcription",
    "speaker": "client_id",
    "split": "split",
}
_FLEURS = {"audio": "file_name", "text": "raw_transcription"}
_FLEURS_HEADER = (
    *("id", "file_name", "raw_transcription", "transcription", "words", "num_samples", "gender"),
)
_JUDGED = Defect("speaker or sentence is judged on", fault=False)
_NOT_VALIDATED = Defect("transcript is not validated", fault=False)


def open_source(argument: str, reading: Reading, data: Path) -> SpeechSource:
    """What a person names: a language of this project's corpora, a table or a folder.

    A folder called like a language is named `./ca`.

    Raises:
        InvalidRequest: it is nothing that can be read.
        UnknownLanguage: it is a tag, and no corpus here speaks it.
    """
    path = Path(argument)
    if argument not in LANGUAGES and path.is_dir():
        return folder_source(path, reading)
    if argument not in LANGUAGES and path.is_file():
        return table_source(path, reading)
    if os.sep in argument or path.suffix:
        raise InvalidRequest(f"{argument}: no such file or folder")
    return corpus_source(argument, data)


def folder_source(folder: Path, reading: Reading) -> SpeechSource:
    """The corpus a folder holds.

    Raises:
        InvalidRequest: it holds none, or several.
    """
    level = [folder]
    for _ in range(3):
        for belongs, source in _LAYOUTS:
            if found := [path for path in level if belongs(path)]:
                return source(_only(found, folder, reading), reading)
        if level == [folder] and len(tables := _tables(folder)) == 1:
            return table_source(tables[0], reading)
        level = [below for path in level for below in _folders(path)]
    raise InvalidRequest(
        f"{folder} is in no layout known (Common Voice, FLEURS) and holds {len(tables)} tables "
        f"({', '.join(ENDINGS)}): name the table itself"
    )


def _tables(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix in ENDINGS]


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry) for entry in entries if entry.is_dir())
    except PermissionError:
        return []


def _only(found: Sequence[Path], folder: Path, reading: Reading) -> Path:
    """The one of several locales that is in the language wanted."""
    asked = reading.language
    if len(found) > 1:
        found = [path for path in found if asked is not None and _is_named(path, asked)]
    if len(found) != 1:
        raise InvalidRequest(
            f"{folder} holds several languages: name the folder of one, or add --language TAG"
        )
    return found[0]


def _is_named(folder: Path, language: str) -> bool:
    try:
        return language_tag(folder.name) == language
    except InvalidRequest:
        return False


def _is_common_voice(folder: Path) -> bool:
    tables = (folder / "validated.tsv", folder / "train.tsv")
    return any(t.is_file() and set(_SCRIPTED.values()) <= set(columns_of(t)) for t in tables)


def _common_voice(folder: Path, reading: Reading) -> SpeechSource:
    """Scripted speech: the release's own splits, and what else was validated for training."""
    clips = reading.audio_folder or folder / "clips"
    if not clips.is_dir():
        raise InvalidRequest(f"{clips} is no folder: unpack the clips too, or add --audio-folder")
    files = {split: path for split, path in _split_files(folder).items() if _has_rows(path)}
    validated = folder / "validated.tsv"
    if {"held_out", "development"} <= files.keys():
        layout = "Common Voice, scripted: its own splits, the rest of validated.tsv for training"
        rows = partial(_released_rows, files, validated, clips)
        read = [*files.values(), validated]
    elif validated.is_file():
        layout = "Common Voice, scripted: validated.tsv, which has no splits of its own"
        rows = partial(_table_rows, validated, clips)
        read = [validated]
    else:
        raise InvalidRequest(f"{folder} has neither validated.tsv nor all of its split files")
    language = agreed_language(folder, _locale(read[0]) or folder.name, reading)
    return SpeechSource("common-voice", layout, language, rows, _n_lines(read))


def _released_rows(files: Mapping[Split, Path], validated: Path, clips: Path) -> Iterator[Row]:
    """All rows of the splits, then those of `validated.tsv` that may train beside them.

    A release's `train.tsv` holds each sentence once; a small language needs every recording.
    """
    released: set[int] = set()
    judged: set[int] = set()
    for split, path in files.items():
        for row in _table_rows(path, clips, split):
            released.add(hash(row.audio))
            if split != "train" and row.defect is None:
                judged |= {hash(row.speaker), hash(row.text)}
            yield row
    if validated.is_file():
        for row in _table_rows(validated, clips, "train"):
            if row.defect:
                yield row
            elif hash(row.audio) not in released:
                known = hash(row.speaker) in judged or hash(row.text) in judged
                yield replace(row, defect=_JUDGED) if known else row


def _table_rows(path: Path, clips: Path, split: Split | None = None) -> Iterator[Row]:
    return rows_of(path.name, read_table(path), _SCRIPTED, clips, split)


def _locale(table: Path) -> str:
    rows = (row.fields.get("locale", "") for row in read_table(table))
    return next(filter(None, rows), "")


def _is_spontaneous(folder: Path) -> bool:
    return any(folder.glob("ss-corpus-*.tsv"))


def _spontaneous(folder: Path, reading: Reading) -> SpeechSource:
    """Answers to questions; only validated transcripts have a split."""
    table = min(folder.glob("ss-corpus-*.tsv"))
    audios = reading.audio_folder or folder / "audios"

    def rows() -> Iterator[Row]:
        records = map(_as_spoken, read_table(table))
        for row in rows_of(table.name, records, _SPONTANEOUS, audios):
            yield row if row.split or row.defect else replace(row, defect=_NOT_VALIDATED)

    language = agreed_language(table, table.stem.removeprefix("ss-corpus-"), reading)
    return SpeechSource(
        "common-voice", "Common Voice, spontaneous", language, rows, _n_lines([table])
    )


def _as_spoken(record: Record) -> Record:
    """Without marks such as `[laugh]`, which nobody says, and `unassigned`, which is no split."""
    text = re.sub(r"\[[^\]]*\]", " ", record.fields.get("transcription", ""))
    split = record.fields.get("split", "").replace("unassigned", "")
    return replace(record, fields={**record.fields, "transcription": text, "split": split})


def _is_fleurs(folder: Path) -> bool:
    return any(
        len(columns) == len(_FLEURS_HEADER) and columns[0].isdigit() and columns[1].endswith(".wav")
        for columns in map(columns_of, _split_files(folder).values())
    )


def _fleurs(folder: Path, reading: Reading) -> SpeechSource:
    files = _split_files(folder)
    audio = reading.audio_folder or folder / "audio"
    for path in files.values():
        if not (audio / path.stem).is_dir():
            raise InvalidRequest(f"{audio / path.stem} is no folder: unpack {path.stem}.tar.gz")

    def rows() -> Iterator[Row]:
        for split, path in files.items():
            records = read_table(path, _FLEURS_HEADER)
            yield from rows_of(path.name, records, _FLEURS, audio / path.stem, split)

    language = agreed_language(folder, folder.name, reading)
    return SpeechSource(
        "fleurs", "FLEURS: its own splits", language, rows, _n_lines(files.values())
    )


def _split_files(folder: Path) -> dict[Split, Path]:
    """The tables of the splits, those that judge first."""
    named = {split: folder / name for split, name in _SPLIT_FILES.items()}
    return {split: path for split, path in named.items() if path.is_file()}


def _has_rows(path: Path) -> bool:
    return any(True for _ in read_table(path))


def _n_lines(files: Iterable[Path]) -> int:
    return sum(count_lines(path) for path in files if path.is_file())


_LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Reading], SpeechSource]], ...] = (
    (_is_common_voice, _common_voice),
    (_is_spontaneous, _spontaneous),
    (_is_fleurs, _fleurs),
)
"""How a folder is told to be in a layout, and read."""
