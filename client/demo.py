"""The demonstration: clips streamed as a microphone would, and a judgement of what came back."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.aio import AsyncClient
from client.audio import open_audio
from client.commands.fleet import fleet_table
from client.display import Captions, LanguageColours, console
from client.errors import AudioFileError, StackError, TranscriptionError
from client.latency import SendLog, speech_end_ms
from client.pacing import Pacer
from client.progress import StackProgress
from client.scoring import word_errors
from client.stack import Stack, StackOptions
from client.types import AudioFormat, Event, Final, Options, Segment

PIECE_MS = 40
SILENCE_MS = 1000
"""Follows each clip, so that its last words are ended by a pause, as live."""
PATIENCE_S = 30.0
"""A server that has not answered so long after a clip's end never will."""


@dataclass(frozen=True)
class Clip:
    """A recording and what is said in it; `languages` in the order they are spoken."""

    path: Path
    languages: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Heard:
    """What came back for a clip.

    Attributes:
        segments: the finals that hold text.
        latency_ms: from sending the last speech to the last final; None if nothing was heard.
    """

    clip: Clip
    segments: tuple[Segment, ...]
    latency_ms: float | None

    @property
    def languages(self) -> tuple[str, ...]:
        """As they were heard one after another."""
        tags = [
            tag for s in self.segments for tag in ([w.language for w in s.words] or [s.language])
        ]
        return tuple(tag for tag, _ in groupby(tags))

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(segment.text for segment in self.segments)


def read_clips(path: Path) -> list[Clip]:
    """The clips of a list like `tests/audio/clips.json`; raises AudioFileError without it."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise AudioFileError(f"{path}: {reason} (the clips come with the source code)") from None
    return [_clip(path.parent, entry) for entry in entries]


def _clip(folder: Path, entry: dict[str, object]) -> Clip:
    parts = entry.get("segments") or [entry]
    assert isinstance(parts, list)
    languages = tuple(tag for tag, _ in groupby(str(part["language"]) for part in parts))
    text = entry.get("text") or " ".join(str(part["text"]) for part in parts)
    return Clip(folder / str(entry["file"]), languages, str(text))


async def run(
    clips: list[Clip], stack: StackOptions, server: str | None, picture: Path | None = None
) -> bool:
    """Stream all clips and print the verdict; True if each came back in the right language."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    output, colours = console(record=picture is not None), LanguageColours()
    candidates = tuple(sorted({tag for clip in clips for tag in clip.languages}))
    async with _server(stack, server) as address, AsyncClient(address) as client:
        output.print(f"\nListening for {', '.join(candidates)}; nobody says which it will be.\n")
        heard = []
        for clip in clips:
            output.print(clip.path.name, style="bold", markup=False)
            with Captions(output, colours) as captions:
                heard.append(await stream(client, clip, candidates, captions.show))
        fleet = await client.fleet()
    for table in (results_table(heard, colours), fleet_table(fleet)):
        output.print()
        output.print(table)
    output.print()
    right = _summary(output, heard)
    if picture is not None:
        output.save_svg(str(picture), title="panglot demo")
    return right


@asynccontextmanager
async def _server(options: StackOptions, server: str | None) -> AsyncIterator[str]:
    """The address of the running server, or of a stack that lives as long as the context."""
    if server is not None:
        yield server
        return
    progress = StackProgress(console(stderr=True))
    stack = Stack(options, progress.changed)
    try:
        with progress:
            await stack.start()
        yield stack.address
    finally:
        await asyncio.shield(stack.stop())


async def stream(
    client: AsyncClient, clip: Clip, candidates: tuple[str, ...], show: Callable[[Event], None]
) -> Heard:
    """Send a clip in real time, showing what happens.

    Raises:
        AudioFileError: the clip cannot be read.
        TranscriptionError: the server refused it, or does not answer.
    """
    pcm, audio_format = await asyncio.to_thread(_decode, clip.path)
    speech_end = speech_end_ms(np.frombuffer(pcm, "<i2"), audio_format.sample_rate_hz)
    log = SendLog()
    segments: list[Segment] = []
    last_final_s: float | None = None
    options = Options(candidates=candidates)
    pieces = _microphone(pcm, audio_format, log)
    try:
        async with asyncio.timeout(len(pcm) / 2 / audio_format.sample_rate_hz + PATIENCE_S):
            async for event in client.transcribe(pieces, audio_format, options):
                match event:
                    case Final(segment) if segment.text:
                        last_final_s = time.monotonic()
                        segments.append(segment)
                show(event)
    except TimeoutError:
        late = f"{clip.path.name}: the stream has not ended {PATIENCE_S:g} s after its audio"
        raise TranscriptionError("DEADLINE_EXCEEDED", late) from None
    latency_ms = None
    if last_final_s is not None:
        latency_ms = 1000 * (last_final_s - log.sent_at_s(speech_end))
    return Heard(clip, tuple(segments), latency_ms)


def _decode(path: Path) -> tuple[bytes, AudioFormat]:
    with open_audio(path) as source:
        return b"".join(source), source.format


async def _microphone(pcm: bytes, audio_format: AudioFormat, log: SendLog) -> AsyncIterator[bytes]:
    """The clip and the silence after it, piece by piece, noting when each left."""
    rate = audio_format.sample_rate_hz
    pcm += bytes(2 * (rate * SILENCE_MS // 1000))
    piece_bytes = 2 * (rate * PIECE_MS // 1000)
    pacer = Pacer()
    for start in range(0, len(pcm), piece_bytes):
        piece = pcm[start : start + piece_bytes]
        until_ms = (start + len(piece)) * 500 / rate
        await asyncio.sleep(pacer.delay_s(until_ms))
        log.sent(until_ms, time.monotonic())
        yield piece


def results_table(heard: list[Heard], colours: LanguageColours) -> Table:
    """One row per clip."""
    table = Table("clip", "heard", "reference", "transcript", row_styles=("", "dim"))
    table.add_column("WER", justify="right")
    table.add_column("latency", justify="right")
    for each in heard:
        right = each.languages == each.clip.languages
        languages = "+".join(each.languages) or "nothing"
        colour = colours.of(each.languages[0]) if right else "bold red"
        errors, words = word_errors(each.clip.text, each.text)
        table.add_row(
            Text(each.clip.path.stem),
            Text(languages, colour),
            Text(each.clip.text),
            Text(each.text),
            f"{errors / max(1, words):.0%}",
            "–" if each.latency_ms is None else f"{each.latency_ms:.0f} ms",
        )
    return table


def _summary(output: Console, heard: list[Heard]) -> bool:
    wrong = [each for each in heard if each.languages != each.clip.languages]
    if not heard:
        raise StackError("there are no clips to stream")
    scores = [word_errors(each.clip.text, each.text) for each in heard]
    errors, words = (sum(column) for column in zip(*scores, strict=True))
    latencies = [each.latency_ms for each in heard if each.latency_ms is not None]
    timing = f"latency p50 {median(latencies):.0f} ms, " if latencies else ""
    output.print(
        f"{len(heard)} clips, {errors / max(1, words):.1%} of words wrong, {timing}"
        f"{len(heard) - len(wrong)} of {len(heard)} in the right language",
        style="bold red" if wrong else "bold green",
    )
    return not wrong
