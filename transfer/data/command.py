"""`panglot data`: recordings and their text, wherever they are, to a manifest to train on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from common.errors import InvalidRequest
from transfer.data.corpora import LANGUAGES
from transfer.data.layouts import open_source
from transfer.data.prepare import Prepared, manifest_path, prepare
from transfer.data.speech_source import Reading, SpeechSource, language_tag

_WIDTH_WHEN_PIPED = 160
_WORTH_A_PROCESS = 200

app = typer.Typer(no_args_is_help=True, help="Speech to teach with.", rich_markup_mode="markdown")

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        show_default=False,
        help=f"A language that this project has corpora of ({' '.join(LANGUAGES)}); a table ending "
        "in `.csv`, `.tsv` or `.jsonl`; or a folder of Common Voice or FLEURS. Several of one "
        "language become one manifest.",
    ),
]
Language = Annotated[
    str | None,
    typer.Option(metavar="TAG", help="Language of a source that does not say it, such as `ca`."),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Manifest to write. If not given, DATA/LANGUAGE.jsonl."),
]
Data = Annotated[Path, typer.Option(metavar="DIR", help="Folder of corpora and manifests.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes that decode. If not given, one per core.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Write no manifest if a row is faulty.")]
AudioColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="A table's column of audio files.")
]
TranscriptColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Its column of transcripts.")
]
SpeakerColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Its column of speakers.")]
SplitColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Its column of splits: train, dev or test.")
]
AudioFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where audio lies. If not given, beside the table."),
]


@app.callback()
def data_commands() -> None:
    """Speech to teach with."""


@app.command("prepare", no_args_is_help=True)
def prepare_command(
    sources: Sources,
    language: Language = None,
    out: Out = None,
    data: Data = Path("data"),
    jobs: Jobs = None,
    strict: Strict = False,
    audio_column: AudioColumn = None,
    text_column: TranscriptColumn = None,
    speaker_column: SpeakerColumn = None,
    split_column: SplitColumn = None,
    audio_folder: AudioFolder = None,
) -> None:
    """Check recordings and their text, split them, and write the manifest that `train` reads.

    Every row that cannot be used is listed, with the reason, in a TSV beside the manifest. A
    source's own splits are kept; else whole speakers are held out where there are enough of them,
    and sentences where there are not. No sentence stands in two splits.

        panglot data prepare ca                                   # this project's Catalan

        panglot data prepare cv-corpus-24.0/ca                    # Common Voice, unpacked

        panglot data prepare village.csv --language yo --audio-folder recordings
    """
    named = {"audio": audio_column, "text": text_column}
    named |= {"speaker": speaker_column, "split": split_column}
    columns = {role: column for role, column in named.items() if column is not None}
    if audio_folder is not None and not audio_folder.is_dir():
        raise InvalidRequest(f"--audio-folder {audio_folder}: no such folder")
    reading = Reading(language_tag(language) if language else None, columns, audio_folder)
    opened: dict[str, list[SpeechSource]] = {}
    for name in sources:
        source = open_source(name, reading, data)
        opened.setdefault(source.language, []).append(source)
    if out is not None and len(opened) > 1:
        raise InvalidRequest(f"--out names one manifest, the sources are in {', '.join(opened)}")

    console = Console()
    console = console if console.is_terminal else Console(width=_WIDTH_WHEN_PIPED)
    for tag, of_one in opened.items():
        target = out or manifest_path(tag, data)
        _refuse_to_overwrite_a_source(target, sources)
        for source in of_one:
            console.print(f"{tag}: {source.layout}", highlight=False)
        before = _sources_in(target)
        with _progress(tag, of_one) as advance:
            prepared = prepare(
                of_one,
                target,
                jobs=jobs or _jobs(of_one),
                strict=strict,
                advance=advance,
            )
        _show(console, prepared)
        if gone := before - _sources_in(target):
            console.print(
                f"{target} held clips of {', '.join(sorted(gone))} before: name them too to keep "
                "them",
                highlight=False,
            )
        console.print(f"{prepared.manifest} is written. Next: panglot train {tag}", highlight=False)


def _refuse_to_overwrite_a_source(target: Path, sources: Sequence[str]) -> None:
    if target.suffix != ".jsonl":
        raise InvalidRequest(f"--out {target}: a manifest's name ends in .jsonl")
    if any(target.resolve() == Path(name).resolve() for name in sources):
        raise InvalidRequest(f"{target} is a source: name another manifest with --out")


def _sources_in(manifest: Path) -> set[str]:
    """Where the clips of a manifest that stands there already come from, if it is one."""
    try:
        with manifest.open(encoding="utf-8") as lines:
            return {str(json.loads(line)["source"]) for line in lines}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _jobs(sources: Sequence[SpeechSource]) -> int:
    """A process per core, but none that would hear less in all than it takes to start."""
    n_rows = sum(source.n_lines or _WORTH_A_PROCESS for source in sources)
    return max(1, min(len(os.sched_getaffinity(0)), n_rows // _WORTH_A_PROCESS))


@contextmanager
def _progress(language: str, sources: Sequence[SpeechSource]) -> Iterator[Callable[[], None]]:
    """A bar on stderr; yields what moves it on by a row."""
    counts = [source.n_lines for source in sources]
    total = None if None in counts else sum(count or 0 for count in counts)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(f"{language}: checking, listening", total=total)
        yield partial(progress.advance, task)


def _show(console: Console, prepared: Prepared) -> None:
    splits = Table("split", "minutes", "clips", "sentences", "speakers")
    for split, size in prepared.sizes.items():
        minutes = f"{size.seconds / 60:.1f}"
        speakers = str(len(size.speakers)) if size.speakers else "unknown"
        splits.add_row(
            split.replace("_", " "), minutes, str(size.clips), str(len(size.sentences)), speakers
        )
    console.print(splits)
    console.print(f"split {prepared.how}", highlight=False)
    if empty := [
        split.replace("_", " ") for split, size in prepared.sizes.items() if not size.clips
    ]:
        console.print(f"[yellow]nothing is {' or '.join(empty)}[/yellow]: too few sentences")
    counts = prepared.faulty + prepared.aside
    if counts:
        n_rows = counts.total() + sum(size.clips for size in prepared.sizes.values())
        table = Table("left out", "rows", "share")
        for reason, count in counts.most_common():
            table.add_row(reason, str(count), f"{count / n_rows:.1%}")
        console.print(table)
        console.print(f"each of them: {prepared.report}", highlight=False)
