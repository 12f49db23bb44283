"""Transcripts of files as text, JSON Lines, SRT or WebVTT."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

from client.types import FileTranscript, Language, Segment, ZeroShot

CUE_LINE_CHARACTERS = 42
CUE_CHARACTERS = 2 * CUE_LINE_CHARACTERS
CUE_MS = 7000
"""A subtitle is two lines of 42 characters, shown for at most seven seconds."""


class Format(StrEnum):
    """What `panglot transcribe --format` takes; also the extension of a file written."""

    TEXT = "text"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"


def render(transcript: FileTranscript, output: Format) -> str:
    """The whole transcript, ending in a newline (nothing at all for text without speech)."""
    match output:
        case Format.TEXT:
            return "".join(f"{segment.text}\n" for segment in transcript.segments if segment.text)
        case Format.JSON:
            return json.dumps(as_json(transcript), ensure_ascii=False) + "\n"
        case Format.SRT:
            return _srt(transcript)
        case Format.VTT:
            return _vtt(transcript)


def as_json(transcript: FileTranscript) -> dict[str, Any]:
    """One file as JSON values; probabilities to four digits, null where the server gave none."""
    return {
        "file": transcript.file,
        "duration_ms": transcript.duration_ms,
        "segments": [
            {
                "start_ms": segment.start_ms,
                "end_ms": segment.end_ms,
                "language": segment.language,
                "text": segment.text,
                "confidence": _rounded(segment.confidence),
                "adapter": segment.adapter,
                "zero_shot": _relative(segment.zero_shot),
                "spans": [
                    {
                        "start_ms": span.start_ms,
                        "end_ms": span.end_ms,
                        "language": span.language,
                        "adapter": span.adapter,
                        "language_probability": _rounded(span.language_probability),
                        "zero_shot": _relative(span.zero_shot),
                    }
                    for span in segment.spans
                ],
                "words": [
                    {
                        "text": word.text,
                        "start_ms": word.start_ms,
                        "end_ms": word.end_ms,
                        "confidence": _rounded(word.confidence),
                        "language": word.language,
                    }
                    for word in segment.words
                ],
            }
            for segment in transcript.segments
        ],
    }


def zero_shot_notices(languages: Iterable[Language]) -> list[str]:
    """A line for people about each language that only a relative serves."""
    return [
        f"{each.name} is served zero-shot by {relative.name} ({each.served_by}), "
        f"{'chosen for it' if relative.similarity is None else 'its nearest relative'}: "
        "expect many errors"
        for each in languages
        if (relative := each.zero_shot) is not None
    ]


def _relative(zero_shot: ZeroShot | None) -> dict[str, Any] | None:
    if zero_shot is None:
        return None
    return {
        "language": zero_shot.language,
        "name": zero_shot.name,
        "similarity": _rounded(zero_shot.similarity),
    }


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 4)


def _srt(transcript: FileTranscript) -> str:
    cues = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{_lines(text)}\n"
        for number, (start, end, text) in enumerate(_all_cues(transcript), start=1)
    ]
    return "\n".join(cues)


def _vtt(transcript: FileTranscript) -> str:
    cues = [
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{_lines(_escaped(text))}\n"
        for start, end, text in _all_cues(transcript)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(text: str) -> str:
    return "\n".join(textwrap.wrap(text, CUE_LINE_CHARACTERS, break_long_words=False))


def _clock(time_ms: int, before_ms: str) -> str:
    seconds, ms = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{before_ms}{ms:03}"


def _all_cues(transcript: FileTranscript) -> Iterator[tuple[int, int, str]]:
    for segment in transcript.segments:
        if segment.text.strip():
            yield from cues(segment)


def cues(segment: Segment) -> Iterator[tuple[int, int, str]]:
    """A segment as (start_ms, end_ms, text), cut between words where it is too long to read.

    Where the words do not make up the text when joined by spaces, as in scripts that use none, the
    segment stays whole.
    """
    if not segment.words or " ".join(word.text for word in segment.words) != segment.text:
        yield segment.start_ms, segment.end_ms, segment.text
        return
    start, texts = segment.start_ms, [segment.words[0].text]
    for before, word in zip(segment.words, segment.words[1:], strict=False):
        longer = " ".join([*texts, word.text])
        if len(longer) > CUE_CHARACTERS or word.end_ms - start > CUE_MS:
            yield start, before.end_ms, " ".join(texts)
            start, texts = word.start_ms, [word.text]
        else:
            texts.append(word.text)
    yield start, segment.end_ms, " ".join(texts)
