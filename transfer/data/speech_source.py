"""Where speech comes from: this project's corpora, or a table of recordings and their text.

A source is a stream of rows nobody has checked yet. Folders in a published layout are in `layouts`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import langcodes

from common.errors import InvalidRequest, UnknownLanguage
from common.tags import fallbacks
from transfer.data.checks import Defect
from transfer.data.corpora import LANGUAGES, recordings
from transfer.data.manifest import Split
from transfer.data.tables import Record, columns_of, count_lines, read_table

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "development",
    "development": "development",
    "val": "development",
    "valid": "development",
    "validation": "development",
    "eval": "held_out",
    "held_out": "held_out",
    "test": "held_out",
}
"""What corpora call the splits."""
COLUMN_NAMES: Mapping[str, Sequence[str]] = {
    "audio": (
        *("audio", "path", "audio_path", "audio_filepath", "audio_file"),
        *("file", "file_name", "filename", "file_path", "wav"),
    ),
    "text": ("text", "sentence", "transcript", "transcription", "raw_transcription", "utterance"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "spk_id"),
    "split": ("split", "set", "subset", "partition"),
    "language": ("language", "lang", "locale"),
}
"""What tables call their columns, the surest first."""
_SAYS_NOTHING = frozenset({"data", "manifest", "metadata", "train"})
"""Names of tables that are called by their folder instead."""
_PUBLISHED_UNPACED = frozenset({"en", "es", "fr", "it", "ru"})
"""Adapters stand published that were trained and judged on all of these corpora's clips."""
OUTSIDE = "audio outside the folder"
MALFORMED = "malformed row"


@dataclass(frozen=True)
class Row:
    """What a source says of one recording.

    Attributes:
        file: name of the file the row stands in.
        number: which line of it, counted from 1.
        audio: the recording.
        text: what was said, as the source writes it.
        language: as the source writes it; empty where it does not say.
        speaker: empty where the source does not say.
        split: what the source uses it for; None where it does not say.
        defect: why the row is left out; None so far.
        corpus: what the clip carries as `source`; empty: the name of the source.
    """

    file: str
    number: int
    audio: Path = Path()
    text: str = ""
    language: str = ""
    speaker: str = ""
    split: Split | None = None
    defect: Defect | None = None
    corpus: str = ""


@dataclass(frozen=True)
class SpeechSource:
    """A corpus to prepare.

    Attributes:
        name: what its clips carry as `source`.
        layout: what it was taken for, in words.
        language: BCP-47 tag.
        rows: reads it from the start.
        n_lines: how many rows at most; None where nobody has counted.
        curated: a corpus of this project. Its text is repaired, and recordings that stand in it
            twice or reach full scale are kept.
        paced: whether recordings are left out that are too short for their text.
    """

    name: str
    layout: str
    language: str
    rows: Callable[[], Iterator[Row]]
    n_lines: int | None = None
    curated: bool = False
    paced: bool = True


@dataclass(frozen=True)
class Reading:
    """How to read what a source does not say itself.

    Attributes:
        language: BCP-47 tag.
        columns: what the columns `audio`, `text`, `speaker`, `split` and `language` are called.
        audio_folder: where the recordings lie, if not beside the table.
    """

    language: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    audio_folder: Path | None = None


def corpus_source(language: str, data: Path) -> SpeechSource:
    """The corpora of this project in a language.

    Raises:
        UnknownLanguage: they do not speak it.
    """
    if language not in LANGUAGES:
        raise UnknownLanguage(
            f"language {language!r:.40} has no corpus here; there is {', '.join(LANGUAGES)}. "
            "Else give a path to recordings of it"
        )

    def rows() -> Iterator[Row]:
        for number, found in enumerate(recordings(language, data), start=1):
            yield Row(
                found.source,
                number,
                found.audio,
                found.text,
                speaker=found.speaker,
                corpus=found.source,
            )

    paced = language not in _PUBLISHED_UNPACED
    return SpeechSource(
        language, "this project's corpora", language, rows, curated=True, paced=paced
    )


def table_source(path: Path, reading: Reading) -> SpeechSource:
    """A CSV, TSV or JSON-lines table with a column of audio files and one of text.

    Raises:
        InvalidRequest: it is no such table, or nobody says which language it is in.
    """
    names = _find_columns(path, reading.columns)
    column = names.get("language", "")
    said = next(filter(None, (r.fields.get(column, "") for r in read_table(path))), "")
    folder = reading.audio_folder or path.parent
    found = ", ".join(f"{role} in {name!r}" for role, name in names.items())
    return SpeechSource(
        path.absolute().parent.name if path.stem in _SAYS_NOTHING else path.stem,
        f"a table, {found}",
        agreed_language(path, said, reading),
        lambda: rows_of(path.name, read_table(path), names, folder),
        count_lines(path),
    )


def rows_of(
    file: str,
    records: Iterable[Record],
    names: Mapping[str, str],
    folder: Path,
    split: Split | None = None,
) -> Iterator[Row]:
    """Rows of a table.

    Args:
        file: what the table is called.
        records: what stands in it.
        names: what the columns are called, as in `Reading.columns`; `audio` and `text` are there.
        folder: what audio paths are relative to, and must not lead out of.
        split: what the whole table is used for.
    """
    for record in records:
        if record.problem:
            yield Row(file, record.number, defect=Defect(MALFORMED, record.problem))
        else:
            said = {role: record.fields.get(name, "").strip() for role, name in names.items()}
            yield _row(file, record.number, said, folder, split)


def _row(file: str, number: int, said: Mapping[str, str], folder: Path, split: Split | None) -> Row:
    audio = inside(folder, said["audio"])
    named = said.get("split", "").lower()
    defect = None
    if not said["audio"]:
        defect = Defect(MALFORMED, "no audio file named")
    elif audio is None:
        defect = Defect(OUTSIDE, f"of {folder}: name another with --audio-folder")
    elif named and named not in SPLIT_NAMES:
        defect = Defect(MALFORMED, f"split {named!r:.40} is none of {' '.join(SPLIT_NAMES)}")
    return Row(
        file,
        number,
        audio or Path(said["audio"]),
        said["text"],
        said.get("language", ""),
        said.get("speaker", ""),
        split or SPLIT_NAMES.get(named),
        defect,
    )


def inside(folder: Path, written: str) -> Path | None:
    """The path `written` means in `folder`; None where it leads out of it. Links are followed."""
    root = os.path.abspath(folder)
    path = os.path.normpath(os.path.join(root, written))
    return Path(path) if path.startswith(f"{root.rstrip(os.sep)}{os.sep}") else None


def language_tag(text: str) -> str:
    """The language of a tag or locale, with its script where that is not the usual one.

    `ca_es` and `cat` are `ca`, `sv-SE` is `sv`, `zh-TW` is `zh-Hant`.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        parsed = langcodes.get(text.replace("_", "-"))
    except ValueError as error:
        raise InvalidRequest(f"{text!r:.40} is not a language tag: add --language TAG") from error
    if not parsed.is_valid() or parsed.language is None:
        raise InvalidRequest(f"{text!r:.40} is not a language tag: add --language TAG")
    full, usual = parsed.maximize(), langcodes.get(parsed.language).maximize()
    return parsed.language if full.script == usual.script else f"{parsed.language}-{full.script}"


def agreed_language(path: Path, said: str, reading: Reading) -> str:
    """The tag of a source's language, said by itself, by a person, or by both alike.

    Raises:
        InvalidRequest: neither says it, or they do not agree.
    """
    if reading.language is None:
        if not said:
            raise InvalidRequest(f"{path.name} does not say its language: add --language TAG")
        return language_tag(said)
    if said and not same_language(said, reading.language):
        raise InvalidRequest(
            f"{path} is in {said}, by its own account; --language says {reading.language}"
        )
    return reading.language


@cache
def same_language(written: str, tag: str) -> bool:
    """Whether what is written is no tag of another language: `cmn` and `Mandarin` are `zh`."""
    try:
        said = language_tag(written)
    except InvalidRequest:
        return True  # a name in words, which nobody compares
    return tag in (said, *fallbacks(said)) or said in fallbacks(tag)


def _find_columns(path: Path, named: Mapping[str, str]) -> dict[str, str]:
    columns = columns_of(path)
    lower = {column.strip().lower(): column for column in reversed(columns)}
    found = {}
    for role, usual in COLUMN_NAMES.items():
        if role in named and named[role] not in columns:
            raise InvalidRequest(f"{path.name} has no column {named[role]!r}: {_listed(columns)}")
        column = named.get(role) or next((lower[name] for name in usual if name in lower), None)
        if column is not None:
            found[role] = column
    for role in ("audio", "text"):
        if role not in found:
            raise InvalidRequest(
                f"{path.name}: no column is known to hold the {role}: {_listed(columns)}. "
                f"Name it with --{role}-column"
            )
    return found


def _listed(columns: Sequence[str]) -> str:
    return f"it has {', '.join(map(repr, columns))[:200]}" if columns else "it is empty"
