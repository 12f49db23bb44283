"""Panglot's client: streaming speech recognition over gRPC, blocking or asynchronous.

with Client("localhost:50051") as client:
    for segment in client.transcribe_file("talk.mp3").segments:
        print(segment.language, segment.text)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client.aio import AsyncClient
    from client.blocking import Client
    from client.errors import AudioFileError, ClientError, ServerUnreachable, TranscriptionError
    from client.types import (
        AudioFormat,
        Encoding,
        Ended,
        Event,
        FileTranscript,
        Final,
        Fleet,
        Language,
        LanguageChange,
        LanguageSelection,
        LanguageSpan,
        Options,
        Partial,
        Segment,
        Started,
        Word,
        Worker,
        ZeroShot,
    )

__all__ = [
    "AsyncClient",
    "AudioFileError",
    "AudioFormat",
    "Client",
    "ClientError",
    "Encoding",
    "Ended",
    "Event",
    "FileTranscript",
    "Final",
    "Fleet",
    "Language",
    "LanguageChange",
    "LanguageSelection",
    "LanguageSpan",
    "Options",
    "Partial",
    "Segment",
    "ServerUnreachable",
    "Started",
    "TranscriptionError",
    "Word",
    "Worker",
    "ZeroShot",
]

_HOMES = {
    "client.aio": ("AsyncClient",),
    "client.blocking": ("Client",),
    "client.errors": ("AudioFileError", "ClientError", "ServerUnreachable", "TranscriptionError"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the command line starts without gRPC."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF.get(name, "client.types")), name)
    globals()[name] = value
    return value
