"""`panglot transcribe`: files in, text out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.commands import DEFAULT_SERVER, Server
from client.errors import ClientError, ServerUnreachable, TranscriptionError
from client.formats import Format, render, zero_shot_notices
from client.types import Event, FileTranscript, Final, Options, Started

if TYPE_CHECKING:
    from client.display import LanguageColours

Show = Callable[[Event], None]


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="`-` is standard input.")],
    *,
    server: Server = DEFAULT_SERVER,
    language: Annotated[
        str | None, typer.Option(metavar="TAG", help="The language spoken, such as `es`.")
    ] = None,
    candidates: Annotated[
        str | None, typer.Option(metavar="TAG,TAG…", help="The languages that may be spoken.")
    ] = None,
    hint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAG=WEIGHT",
            help="How likely a language is beforehand, against 1 for the others, such as `es=4` "
            "or `pt=0.25`; may be repeated.",
        ),
    ] = None,
    boost: Annotated[
        list[str] | None,
        typer.Option(metavar="PHRASE", help="A name or term likely to be said; may be repeated."),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TEXT,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Send as a microphone would, and show live captions.")
    ] = False,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            metavar="HZ",
            help="Of `.raw` and `.pcm` files (signed 16-bit, mono; 16000 if not given); "
            "with `-`: standard input is such audio.",
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Write one file per input here, print nothing."),
    ] = None,
) -> None:
    """Transcribe audio files: wav, flac, mp3, ogg, opus, m4a, webm, raw PCM.

    Without --language or --candidates every known language is listened for. Results go to stdout,
    everything else to stderr. JSON is one object per line and file. A file that fails does not stop
    the others; the exit code is then 1.

    A language that nothing was taught is heard by a near relative's adapter, if you name it with
    --language; a line on stderr says so.

    Examples:

    `panglot transcribe talk.mp3`

    `panglot transcribe --candidates en,es --format srt call.wav > call.srt`

    `panglot transcribe --candidates en,es,pt --hint es=4 call.wav`

    `panglot transcribe --language es --boost "Ahmed Hassan" --boost Teruel call.wav`

    `panglot transcribe --format json *.flac | jq .segments[].text`

    `arecord -q -f S16_LE -r 16000 | panglot transcribe - --sample-rate 16000 --realtime`
    """
    from client.blocking import Client  # noqa: PLC0415

    targets = _targets(files, output, output_dir)
    with Client(server) as client:
        views = _Views(output, several=len(files) > 1, to_stdout=output_dir is None)
        options = _options(language, candidates, hint or [], boost or [], partials=views.live)
        failed = False
        for file, target in zip(files, targets, strict=True):
            try:
                with views.of(file) as show:
                    transcript = client.transcribe_file(
                        file,
                        options,
                        realtime=realtime,
                        raw_sample_rate_hz=sample_rate,
                        on_event=show,
                    )
            except ServerUnreachable:
                raise
            except ClientError as error:
                prefix = f"{file}: " if isinstance(error, TranscriptionError) else ""
                typer.echo(f"panglot: {prefix}{error}", err=True)
                failed = True
                continue
            for warning in transcript.warnings:
                typer.echo(f"panglot: {warning}", err=True)
            if target is not None:
                target.write_text(render(transcript, output), encoding="utf-8")
            else:
                views.done(transcript)
    if failed:
        raise typer.Exit(1)


class _Views:
    """How results reach the reader: captions in a terminal, lines or whole files in a pipe."""

    def __init__(self, output: Format, *, several: bool, to_stdout: bool) -> None:
        self._output = output
        self._as_they_come = to_stdout and output is Format.TEXT
        self._several = several
        self._colours: LanguageColours | None = None
        self._noticed: set[str] = set()
        self.live = self._as_they_come and sys.stdout.isatty()

    @contextmanager
    def of(self, file: str) -> Iterator[Show]:
        """For the time of one file: what to call with each event."""
        if self._as_they_come and self._several:
            typer.echo(f"==> {file} <==")
        if self.live:
            from client.display import Captions, LanguageColours, console  # noqa: PLC0415

            self._colours = self._colours or LanguageColours()
            with Captions(console(), self._colours) as captions:
                yield captions.show
        else:
            with _progress(file) as progress:

                def show(event: Event) -> None:
                    self._print(event)
                    progress(event)

                yield show

    def done(self, transcript: FileTranscript) -> None:
        """The file is complete."""
        if not self._as_they_come:
            typer.echo(render(transcript, self._output), nl=False)

    def _print(self, event: Event) -> None:
        match event:
            case Started(zero_shot=languages):
                for notice in zero_shot_notices(languages):
                    if notice not in self._noticed:  # once for all files
                        typer.echo(f"panglot: {notice}", err=True)
                        self._noticed.add(notice)
            case Final(segment) if self._as_they_come and segment.text:
                typer.echo(segment.text)


@contextmanager
def _progress(file: str) -> Iterator[Show]:
    """A spinner on stderr with how far the finals have come; nothing if that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda event: None
        return
    from rich.text import Text  # noqa: PLC0415

    from client.display import console  # noqa: PLC0415

    with console(stderr=True).status(Text(f"transcribing {file}")) as status:

        def show(event: Event) -> None:
            match event:
                case Final(segment):
                    status.update(Text(f"transcribing {file}: {segment.end_ms // 1000} s"))

        yield show


def _options(
    language: str | None,
    candidates: str | None,
    hints: list[str],
    boost: list[str],
    *,
    partials: bool,
) -> Options:
    if language is not None and candidates is not None:
        raise typer.BadParameter("give either --language or --candidates, not both")
    tags = tuple(tag.strip() for tag in (candidates or "").split(",") if tag.strip())
    if candidates is not None and not tags:
        raise typer.BadParameter("--candidates needs at least one language, as in en,es")
    if language is not None and hints:
        raise typer.BadParameter("give either --language or --hint, not both")
    try:
        return Options(
            language=language,
            candidates=tags,
            hints=_weights(hints),
            partial_results=partials,
            boosted_phrases=tuple(boost),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _weights(hints: list[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for hint in hints:
        tag, _, number = hint.partition("=")
        try:
            weight = float(number)
        except ValueError:
            raise typer.BadParameter(f"--hint is {hint!r}; give TAG=WEIGHT, as in es=4") from None
        if tag in weights:
            raise typer.BadParameter(f"--hint names {tag} twice")
        weights[tag] = weight
    return weights


def _targets(files: list[str], output: Format, folder: Path | None) -> list[Path | None]:
    """Where each result is written; None is stdout."""
    if folder is None:
        if len(files) > 1 and output in (Format.SRT, Format.VTT):
            raise typer.BadParameter(f"{output} of several files needs --output-dir")
        return [None] * len(files)
    extension = "txt" if output is Format.TEXT else output.value
    names = ["stdin" if file == "-" else Path(file).stem for file in files]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise typer.BadParameter(f"two files would be written to {min(twice)}.{extension}")
    folder.mkdir(parents=True, exist_ok=True)
    return [folder / f"{name}.{extension}" for name in names]
